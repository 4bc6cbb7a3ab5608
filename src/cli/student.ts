// The student on the command line: a catalog name or a path, resolved to files on disk and their identity.
import type { Command } from 'commander';
import { resolveModel } from '../catalog/resolve.ts';
import type { Session } from './session.ts';

export const DEFAULT_STUDENT = 'smollm2-135m-instruct';

export interface Student {
  name: string;
  path: string;
  /** What distill and compress count as their input. */
  identity: string;
}

export function studentOption(command: Command): Command {
  return command.option(
    '-s, --student <name>',
    'catalog name, GGUF file or Hugging Face folder of the model to train',
    DEFAULT_STUDENT,
  );
}

/** Finds the student's files, downloading them if need be. @throws CupelError with what was tried */
export async function findStudent(session: Session, name: string): Promise<Student> {
  const { path, sha256 } = await resolveModel(name, { progress: session.progress, signal: session.signal });
  return { name, path, identity: `sha256:${sha256}` };
}
