// `cupel verify`: checks a proof offline against the model beside it; `cupel serve` asks the same before it starts.
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { CupelError } from '../base/errors.ts';
import { type Checked, checkProof, proofPath } from '../report/proof/check.ts';
import { configFolder, trust, trustedKeys } from '../report/proof/keys.ts';
import { percent } from '../report/verdict.ts';
import { NOT_PROVEN } from './exit.ts';
import { print } from './session.ts';

interface VerifyChoices {
  model?: string;
  publicKey?: string;
  trust?: boolean;
  json?: boolean;
}

/** Refuses a model that has no valid proof for this very file. @throws CupelError, exit code 3, with what is wrong */
export async function requireProof(model: string, options: { publicKey?: string } = {}): Promise<Checked> {
  const file = proofPath(model);
  const remedy = 'prove it with `cupel gate`, or serve it all the same with --unproven';
  let checked: Checked;
  try {
    const trusted = trustedKeys(configFolder(process.env), options.publicKey);
    checked = await checkProof(file, { model, trusted });
  } catch (error) {
    if (!(error instanceof CupelError)) throw error;
    throw new CupelError(`unproven: ${error.message}`, { place: error.place, remedy, exitCode: NOT_PROVEN });
  }
  if (checked.valid) return checked;
  throw new CupelError(`unproven: ${checked.problems.join('; ')}`, { place: { file }, remedy, exitCode: NOT_PROVEN });
}

/** A proof names one file; with an adapter on it another model answers. @throws CupelError, exit code 3 */
export function refuseAdapter(path: string): never {
  throw new CupelError('unproven: an adapter changes what the proof of its model was made on', {
    place: { file: path },
    remedy: 'merge it with `cupel compress`, evaluate and prove that file, or serve it all the same with --unproven',
    exitCode: NOT_PROVEN,
  });
}

function describe({ valid, problems, signer, model, proof }: Checked): string {
  const { quality, cost, data } = proof;
  return [
    `${valid ? 'VALID' : 'NOT VALID'}  ${model}`,
    ...problems.map((problem) => `  - ${problem}`),
    `quality  ${percent(quality.ratio)} of the teacher's, with 95% confidence at least ${(Math.floor(quality.lower95 * 1000) / 10).toFixed(1)}% (${quality.n} items, scorer ${proof.scorer})`,
    `cost     ${percent(cost.share)} of the teacher's`,
    `data     ${data.testHash}, looked at ${proof.looks === 1 ? 'once' : `${proof.looks} times`}`,
    `signed   ${proof.madeAt} by ${signer.keyId}${signer.trusted ? '' : ' (not trusted here; --trust adds it)'}`,
  ].join('\n');
}

export function register(program: Command): void {
  program
    .command('verify')
    .description('check a proof offline: signature, signer, verdict, and that the model beside it is the very file')
    .argument('<proof>', 'MODEL.gguf.proof.json')
    .option('--model <file>', 'the model, where it is not beside the proof')
    .option('--public-key <file>', 'PEM file of a signer to believe')
    .option('--trust', "add the proof's signer to the trusted ones")
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `\nExit code ${NOT_PROVEN} unless valid.\nExample:\n  cupel verify student-q8_0.gguf.proof.json`,
    )
    .action(async (file: string, options: VerifyChoices) => {
      const folder = configFolder(process.env);
      const model = options.model && resolve(options.model);
      const check = () =>
        checkProof(resolve(file), {
          model,
          trusted: trustedKeys(folder, options.publicKey && resolve(options.publicKey)),
        });
      let checked = await check();
      if (options.trust && !checked.signer.trusted && !checked.problems.some((text) => /signature/.test(text))) {
        trust(folder, checked.signer.publicKey);
        checked = await check();
      }
      print(options.json ?? false, checked, () => describe(checked));
      if (!checked.valid) process.exitCode = NOT_PROVEN;
    });
}
