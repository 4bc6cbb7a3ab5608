// `cupel gate`: may this very file be released? Writes the signed proof beside it and ends with an exit code for CI.
import { readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { ZodError } from 'zod';
import { type Artifact, listArtifacts } from '../artifacts/store.ts';
import { writeFileDurably } from '../base/durable.ts';
import { CupelError } from '../base/errors.ts';
import { sha256File } from '../base/hash.ts';
import { readJsonl } from '../base/jsonl.ts';
import { EVALUATE_DEFAULTS, type ScoredItem } from '../evaluate/evaluate.ts';
import { type FloorResult, Floors, judgeFloors } from '../evaluate/floors.ts';
import { proofPath } from '../report/proof/check.ts';
import { configFolder, signingKey } from '../report/proof/keys.ts';
import { makeProof } from '../report/proof/make.ts';
import { type SignedProof, signProof } from '../report/proof/proof.ts';
import { detectorsFor } from './detectors.ts';
import { NOT_PROVEN } from './exit.ts';
import { ledgerOptions, lineageOf, type ReportChoices, reportOptions } from './report.ts';
import { type CommonOptions, commonOptions, print, type Session, withSession } from './session.ts';
import { formatTable } from './table.ts';

export interface GateChoices extends ReportChoices {
  floors?: string;
  floor?: Floors['slices'];
  key?: string;
}

/**
 * Judges the latest evaluation of `model` in the workspace, signs what was found (proven or not) and writes it beside the
 * model, so that no earlier proof of the same file stays. @throws CupelError when the file was not evaluated
 */
export async function runGate(
  session: Session,
  model: string,
  choices: GateChoices,
): Promise<{ signed: SignedProof; file: string }> {
  const sha256 = await sha256File(model);
  const evaluation = latestOf(session.workspace, model, sha256);
  const artifacts = lineageOf(session.workspace, evaluation);
  const key = signingKey(configFolder(process.env), choices.key && resolve(choices.key));
  const proof = makeProof({
    artifacts,
    model: { path: model, bytes: statSync(model).size, sha256 },
    floors: await floorsOf(evaluation, artifacts, choices),
    prices: ledgerOptions(choices),
  });
  const file = proofPath(model);
  const signed = signProof(proof, key);
  writeFileDurably(file, `${JSON.stringify(signed, null, 2)}\n`);
  return { signed, file };
}

async function floorsOf(evaluation: Artifact, artifacts: Artifact[], choices: GateChoices): Promise<FloorResult[]> {
  const read = choices.floors ? readFloors(resolve(choices.floors)) : Floors.parse({});
  const floors = { ...read, slices: [...read.slices, ...(choices.floor ?? [])] };
  const items = await readJsonl<ScoredItem>(join(evaluation.path, 'scores.jsonl'));
  const dataset = artifacts.find(({ manifest }) => manifest.key === evaluation.manifest.inputs.dataset);
  const { resamples, seed, clusterTag } = { ...EVALUATE_DEFAULTS, ...(evaluation.manifest.options as object) };
  return judgeFloors(items, floors, detectorsFor(dataset?.path), { resamples, seed, clusterTag });
}

function latestOf(workspace: string, model: string, sha256: string): Artifact {
  const found = listArtifacts(workspace).findLast(
    ({ manifest }) => manifest.stage === 'evaluate' && manifest.inputs.model === `sha256:${sha256}`,
  );
  if (found) return found;
  throw new CupelError('this very file was not evaluated in this workspace', {
    place: { file: model },
    remedy: `run \`cupel evaluate ${model} DATASET -w ${workspace}\``,
    exitCode: 2,
  });
}

function readFloors(file: string): Floors {
  try {
    return Floors.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (cause) {
    const issue = cause instanceof ZodError ? cause.issues[0] : undefined;
    throw new CupelError(`not a floors file: ${issue?.message ?? (cause as Error).message}`, {
      place: { file, field: issue?.path.join('.') || undefined },
      remedy: 'write e.g. {"slices": [{"tag": "language", "value": "*", "ratio": 0.9}], "safety": {"refusalsKept": 1}}',
      exitCode: 2,
      cause,
    });
  }
}

/** `language=zh:0.9`, a least score. */
function floorOption(text: string, before: Floors['slices'] = []): Floors['slices'] {
  const match = /^([^=]+)=(.+):([\d.]+)$/.exec(text);
  const score = Number(match?.[3]);
  if (!match || !(score >= 0 && score <= 1))
    throw new InvalidArgumentError('write TAG=VALUE:SCORE, e.g. language=zh:0.9');
  return [...before, { tag: match[1], value: match[2], score }];
}

/** The floors as a table, the verdict and where the proof is. */
export function describeGate({ signed: { proof, signature }, file }: { signed: SignedProof; file: string }): string {
  const number = (value: number) => (Number.isInteger(value) ? String(value) : value.toFixed(3));
  const rows = proof.floors.map(({ name, wanted, found, n, kept, note }) => [
    kept ? 'kept' : 'BROKEN',
    name,
    number(found),
    number(wanted),
    String(n),
    note,
  ]);
  return [
    formatTable([['', 'floor', 'found', 'limit', 'items', ''], ...rows]),
    `verdict: ${proof.verdict}`,
    ...proof.reasons.map((reason) => `  - ${reason}`),
    `signed by ${signature.keyId}: ${file}`,
  ].join('\n');
}

export function register(program: Command): void {
  const command = program
    .command('gate')
    .description('judge an evaluated model file for release and write its signed proof, MODEL.proof.json, beside it')
    .argument('<model>', 'GGUF file that `cupel evaluate` or `cupel run` has evaluated in this workspace')
    .option('--floors <file>', 'JSON with floors for slices and safety')
    .option('--floor <tag=value:score>', 'least score of a slice, e.g. language=zh:0.9; may be repeated', floorOption)
    .option('--key <file>', 'Ed25519 private key (PEM); without it your own, made on first use')
    .addHelpText(
      'after',
      `\nExit code ${NOT_PROVEN} unless proven.\nExample:\n  cupel gate student-q8_0.gguf --floor language=zh:0.9 && cupel serve student-q8_0.gguf`,
    );
  reportOptions(commonOptions(command)).action((model: string, options: CommonOptions & GateChoices) =>
    withSession(options, async (session) => {
      const made = await runGate(session, resolve(model), options);
      print(session.json, { ...made.signed.proof, file: made.file }, () => describeGate(made));
      if (made.signed.proof.verdict !== 'proven') process.exitCode = NOT_PROVEN;
    }),
  );
}
