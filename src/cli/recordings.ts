// What the commands about recordings share: where they are and which of them are meant.
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { openRecordings, type Recordings } from '../record/recordings.ts';
import type { ExchangeFilter } from '../record/store/store.ts';

export interface FilterChoices {
  workspace: string;
  since?: string;
  until?: string;
  model?: string;
  user?: string;
  tag?: Record<string, string>;
}

export function filterOptions(command: Command): Command {
  return command
    .option('-w, --workspace <dir>', 'folder for everything Cupel makes', '.cupel')
    .option('--since <time>', 'from this time on, e.g. 2026-11-01 or 2026-11-01T08:00Z', moment)
    .option('--until <time>', 'before this time', moment)
    .option('--model <name>', 'of this model')
    .option('--user <name>', 'of this user, as the application names them')
    .option('--tag <name=value...>', 'with these tags', tag);
}

export function filterOf({ since, until, model, user, tag: tags }: FilterChoices): ExchangeFilter {
  return Object.fromEntries(
    Object.entries({ since, until, model, user, tags }).filter(([, value]) => value !== undefined),
  );
}

/** Opens the recordings of a workspace, or of `DATABASE_URL`, and closes them whatever happens. */
export async function withRecordings<T>(workspace: string, work: (recordings: Recordings) => Promise<T>): Promise<T> {
  const databaseUrl = process.env.DATABASE_URL || undefined;
  const recordings = await openRecordings({ workspace: resolve(workspace), databaseUrl });
  try {
    return await work(recordings);
  } finally {
    await recordings.close();
  }
}

function moment(text: string): string {
  const time = Date.parse(text);
  if (Number.isNaN(time)) throw new InvalidArgumentError('a date is needed, e.g. 2026-11-01T08:00Z.');
  return new Date(time).toISOString();
}

function tag(text: string, before: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('name=value is needed.');
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}
