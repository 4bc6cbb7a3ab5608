// What every command shares: the workspace and its lock, progress on stderr, Ctrl-C as an abort signal, JSON on stdout.
import { setMaxListeners } from 'node:events';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { lockWorkspace } from '../artifacts/lock.ts';
import { type Progress, silent } from '../base/progress.ts';
import { drawProgress } from './progress.ts';
import { endAtOnce } from './stopped.ts';

export interface CommonOptions {
  workspace: string;
  json?: boolean;
  quiet?: boolean;
}

export interface Session {
  workspace: string;
  progress: Progress;
  /** Aborted by the first Ctrl-C or SIGTERM; the second ends the process at once. */
  signal: AbortSignal;
  json: boolean;
}

/** Adds `--workspace`, `--json` and `--quiet`. */
export function commonOptions(command: Command): Command {
  return command
    .option('-w, --workspace <dir>', 'folder for everything Cupel makes', '.cupel')
    .option('--json', 'one JSON document on stdout, progress on stderr')
    .option('-q, --quiet', 'no progress');
}

/** Runs `work` holding the workspace, with progress and a signal; cleans up whatever happens. */
export async function withSession<T>(options: CommonOptions, work: (session: Session) => Promise<T>): Promise<T> {
  const workspace = resolve(options.workspace);
  const unlock = lockWorkspace(workspace);
  const { signal, dispose } = interruptSignal();
  const drawing = options.quiet ? { progress: silent, end: () => {} } : drawProgress(process.stderr);
  try {
    return await work({ workspace, progress: drawing.progress, signal, json: options.json ?? false });
  } finally {
    drawing.end();
    dispose();
    unlock();
  }
}

/** A signal aborted by Ctrl-C or SIGTERM; a second one ends the process at once. */
export function interruptSignal(): { signal: AbortSignal; dispose: () => void } {
  const controller = new AbortController();
  // every request at once listens to it
  setMaxListeners(0, controller.signal);
  const stop = (by: NodeJS.Signals) => {
    if (controller.signal.aborted) return endAtOnce(by);
    process.stderr.write('\nstopping; what is done is kept (press Ctrl-C again to stop at once)\n');
    const error = new Error('interrupted; run the same command again to continue');
    error.name = 'AbortError';
    controller.abort(error);
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  return {
    signal: controller.signal,
    dispose: () => {
      process.removeListener('SIGINT', stop);
      process.removeListener('SIGTERM', stop);
    },
  };
}

/** Prints one JSON document on stdout, or lines for a person. */
export function print(json: boolean, value: unknown, lines: () => string): void {
  process.stdout.write(json ? `${JSON.stringify(value, null, 2)}\n` : `${lines()}\n`);
}
