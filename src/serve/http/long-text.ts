// Texts so long that counting their tokens would keep the engine from everybody else.
import { ApiError } from './errors.ts';

/** Bytes for each token of the context; ordinary text has about four. */
const BYTES_PER_TOKEN = 64;

/** @throws ApiError 400 for a text that cannot be meant for a context of `contextTokens` */
export function refuseLong(text: string, contextTokens: number, param: string): void {
  const [bytes, most] = [Buffer.byteLength(text), BYTES_PER_TOKEN * contextTokens];
  if (bytes <= most) return;
  const message = `the text has ${bytes} bytes; with a context of ${contextTokens} tokens at most ${most} are read: send it in parts`;
  throw new ApiError(400, message, { param, code: 'context_length_exceeded' });
}
