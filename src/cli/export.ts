// `cupel export`: recordings as OpenAI chat rows for training, or as they are, in JSON lines or Parquet.
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { CupelError } from '../base/errors.ts';
import type { Json } from '../curate/formats/convert.ts';
import { recording } from '../curate/formats/recording.ts';
import { writeRows } from '../curate/formats/write.ts';
import { allExchanges, type Recordings } from '../record/recordings.ts';
import type { ExchangeFilter } from '../record/store/store.ts';
import { type FilterChoices, filterOf, filterOptions, withRecordings } from './recordings.ts';
import { print } from './session.ts';

interface ExportChoices extends FilterChoices {
  output: string;
  raw?: boolean;
  json?: boolean;
}

export interface Exported {
  file: string;
  rows: number;
  /** Recordings that are no conversations (embeddings and the like). */
  leftOut: number;
  /** Rows whose upstream did not say how many tokens they took: no ledger can price them. */
  withoutUsage: number;
}

export function register(program: Command): void {
  const command = program
    .command('export')
    .description('write recorded exchanges as OpenAI chat rows (or as they are) to JSON lines or Parquet')
    .requiredOption('-o, --output <file>', 'file to write; .parquet makes it Parquet, anything else JSON lines')
    .option('--raw', 'whole exchanges with request, response, times, money and feedback; failed ones too')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  cupel export -o traces.jsonl --tag team=support && cupel import traces.jsonl');
  filterOptions(command).action(async (choices: ExportChoices) => {
    const done = await withRecordings(choices.workspace, (recordings) => runExport(recordings, choices));
    print(choices.json ?? false, done, () => {
      const rest = done.leftOut > 0 ? `, ${done.leftOut} left out that are no conversations` : '';
      const unpriced = done.withoutUsage > 0 ? `, ${done.withoutUsage} without usage, which no ledger can price` : '';
      return `${done.rows} exchanges written to ${done.file}${rest}${unpriced}`;
    });
  });
}

/** @throws CupelError (exit code 2) when no recording is meant */
export async function runExport(recordings: Pick<Recordings, 'page'>, choices: ExportChoices): Promise<Exported> {
  const done: Exported = { file: resolve(choices.output), rows: 0, leftOut: 0, withoutUsage: 0 };
  const rows = choices.raw
    ? rawRows(recordings, filterOf(choices), done)
    : chatRows(recordings, filterOf(choices), done);
  const first = await rows.next();
  if (first.done) {
    throw new CupelError('no recorded conversation is meant', {
      place: { file: resolve(choices.workspace) },
      remedy: 'record some traffic with `cupel record`, or widen --since, --until, --model, --user, --tag',
      exitCode: 2,
    });
  }
  done.rows = await writeRows(done.file, after(first.value, rows));
  return done;
}

async function* after(first: Json, rest: AsyncGenerator<Json>): AsyncGenerator<Json> {
  yield first;
  yield* rest;
}

async function* rawRows(
  recordings: Pick<Recordings, 'page'>,
  filter: ExchangeFilter,
  done: Exported,
): AsyncGenerator<Json> {
  for await (const row of allExchanges(recordings, filter)) {
    if (row.prompt_tokens === null) done.withoutUsage++;
    yield { ...row };
  }
}

async function* chatRows(
  recordings: Pick<Recordings, 'page'>,
  filter: ExchangeFilter,
  done: Exported,
): AsyncGenerator<Json> {
  for await (const row of allExchanges(recordings, { ...filter, complete: true })) {
    const converted = recording({ ...row });
    if (!converted || !('rows' in converted)) {
      done.leftOut++;
      continue;
    }
    if (row.prompt_tokens === null) done.withoutUsage++;
    yield* converted.rows;
  }
}
