// `cupel import`: recorded traffic in, checked and split conversations out.
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { CupelError } from '../base/errors.ts';
import { IMPORT_VERSION, type ImportFacts, type ImportOptions, importTraces } from '../curate/import.ts';
import { numberOption } from './numbers.ts';
import { type CommonOptions, commonOptions, print, type Session, withSession } from './session.ts';
import { fileInput, fileOf, type MadeArtifact, stage } from './stages.ts';

export interface ImportChoices {
  test?: string;
  testShare?: number;
  calibrationShare?: number;
  maxCharacters?: number;
}

export function importOptions(command: Command): Command {
  return command
    .option('-t, --test <file>', 'held-out conversations; without it a part of the traces is held out')
    .option('--test-share <share>', 'share held out for the verdict where no test file is given', numberOption(0, 0.9))
    .option('--calibration-share <share>', 'share held out to choose the checkpoint', numberOption(0, 0.9))
    .option('--max-characters <n>', 'longest conversation taken', numberOption(1));
}

/** Import as a stage; @throws CupelError (exit code 2) when no row is good */
export async function runImport(session: Session, traces: string, choices: ImportChoices): Promise<MadeArtifact> {
  const options = chosen(choices);
  const inputs: Record<string, string> = { traces: await input(traces) };
  if (choices.test) inputs.test = await input(choices.test);
  return stage(session, 'import', IMPORT_VERSION, inputs, { ...options }, (folder) =>
    importTraces({
      traces: resolve(traces),
      test: choices.test && resolve(choices.test),
      options,
      folder,
      progress: session.progress,
    }),
  );
}

async function input(path: string): Promise<string> {
  try {
    return await fileInput(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const what =
      code === 'ENOENT' ? 'no such file' : code === 'EISDIR' ? 'a folder, not a file' : 'the file cannot be read';
    throw new CupelError(what, { place: { file: path }, exitCode: 2, cause });
  }
}

function chosen(choices: ImportChoices): Partial<ImportOptions> {
  const { testShare, calibrationShare, maxCharacters } = choices;
  return Object.fromEntries(
    Object.entries({ testShare, calibrationShare, maxCharacters }).filter(([, value]) => value !== undefined),
  );
}

/** What a person wants to know of an import: counts, and the first bad lines with their reasons. */
export function describeImport(artifact: MadeArtifact): string {
  const facts = artifact.manifest.facts as ImportFacts;
  const { train, calibration, test } = facts.splits;
  return [
    `${facts.accepted} of ${facts.rows} rows taken: ${train} to train, ${calibration} to calibrate, ${test} to test`,
    ...Object.entries(facts.reasons).map(([reason, count]) => `  rejected: ${count} x ${reason}`),
    facts.rejected ? `  each by line: ${fileOf(artifact, 'rejects.jsonl')}` : '',
    facts.duplicates ? `  ${facts.duplicates} exact duplicates left out` : '',
    facts.droppedFromTrain ? `  ${facts.droppedFromTrain} rows like a test row dropped from training` : '',
    ...facts.warnings.map((warning) => `  note: ${warning}`),
    artifact.path,
  ]
    .filter(Boolean)
    .join('\n');
}

export function register(program: Command): void {
  const command = program
    .command('import')
    .description('check recorded conversations (OpenAI chat JSONL) and split them into train, calibration and test')
    .argument('<traces>', 'JSONL file, one conversation a line')
    .addHelpText('after', '\nExample:\n  cupel import traces.jsonl --test held-out.jsonl');
  importOptions(commonOptions(command)).action((traces: string, options: CommonOptions & ImportChoices) =>
    withSession(options, async (session) => {
      const artifact = await runImport(session, traces, options);
      print(session.json, { artifact: artifact.path, ...artifact.manifest.facts }, () => describeImport(artifact));
    }),
  );
}
