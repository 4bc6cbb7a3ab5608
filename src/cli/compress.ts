// `cupel compress`: merges an adapter into its base and writes GGUF files.
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { type Artifact, openChecked } from '../artifacts/store.ts';
import { CupelError } from '../base/errors.ts';
import { COMPRESS_VERSION, compress } from '../compress/compress.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import { type CommonOptions, commonOptions, print, type Session, withSession } from './session.ts';
import { fileOf, type MadeArtifact, stage } from './stages.ts';
import { findStudent, type Student, studentOption } from './student.ts';

export interface CompressChoices {
  type: string[];
}

export function compressOptions(command: Command): Command {
  return command
    .option('--type <types...>', 'GGUF types to write', ['f16', 'q8_0', 'q4_0'])
    .option('--serve-type <type>', 'the one that is evaluated and served', 'q8_0');
}

/** Compress as a stage. */
export function runCompress(
  session: Session,
  student: Student,
  adapter: Artifact,
  { type }: CompressChoices,
): Promise<MadeArtifact> {
  const inputs = { student: student.identity, adapter: adapter.manifest.key };
  const options = { types: [...new Set(type)].sort() };
  return stage(session, 'compress', COMPRESS_VERSION, inputs, options, async (folder) => {
    // a run with --full made a whole model, not an adapter
    const whole = existsSync(join(adapter.path, 'config.json'));
    const base = openCheckpoint(whole ? adapter.path : student.path);
    try {
      return await compress({
        base,
        ...(whole ? {} : { adapter: adapter.path }),
        ...options,
        folder,
        progress: session.progress,
        signal: session.signal,
      });
    } finally {
      base.close();
    }
  });
}

/** The GGUF of one type in a compress artifact. @throws CupelError when it was not written */
export function servedModel(artifact: Artifact, type: string): string {
  const name = Object.keys(artifact.manifest.files).find((file) => file.endsWith(`-${type}.gguf`));
  if (name) return fileOf(artifact, name);
  throw new CupelError(`no GGUF of type ${type} was written`, {
    place: { field: '--serve-type' },
    remedy: `name it in --type too; written: ${Object.keys(artifact.manifest.files).join(', ')}`,
    exitCode: 2,
  });
}

export function register(program: Command): void {
  const command = program
    .command('compress')
    .description('merge an adapter into its base model and write GGUF files that llama.cpp loads')
    .argument('<adapter>', 'folder that `cupel distill` made')
    .addHelpText('after', '\nExample:\n  cupel compress .cupel/artifacts/distill-0123456789abcdef --type q8_0 q4_0');
  compressOptions(studentOption(commonOptions(command))).action(
    (adapter: string, options: CommonOptions & CompressChoices & { student: string }) =>
      withSession(options, async (session) => {
        const student = await findStudent(session, options.student);
        const artifact = await runCompress(session, student, await openChecked(resolve(adapter)), options);
        print(session.json, { artifact: artifact.path, ...artifact.manifest.facts }, () =>
          Object.keys(artifact.manifest.files)
            .map((name) => fileOf(artifact, name))
            .join('\n'),
        );
      }),
  );
}
