// Turns one row of a foreign format into OpenAI chat rows; which format it is, the row itself tells.
import { alpaca, promptCompletion } from './alpaca.ts';
import { type BatchMemory, batchLine } from './batch.ts';
import { langfuse } from './langfuse.ts';
import { litellm } from './litellm.ts';
import { recording } from './recording.ts';
import { shareGpt } from './sharegpt.ts';

export type Json = Record<string, unknown>;

/** What a row became: chat rows (`{messages, …}`), a reason to refuse it, or nothing to say about it. */
export type Converted = { rows: Json[] } | { reason: string } | undefined;

/** A format: undefined when the row is of another one. */
export type Format = (row: Json, memory: BatchMemory) => Converted;

/** The first that knows the row takes it; a plain chat row is known by none and stays as it is. */
const FORMATS: Format[] = [batchLine, recording, langfuse, litellm, shareGpt, alpaca, promptCompletion];

export function convert(row: Json, memory: BatchMemory): Converted {
  for (const format of FORMATS) {
    const converted = format(row, memory);
    if (converted) return converted;
  }
  return undefined;
}
