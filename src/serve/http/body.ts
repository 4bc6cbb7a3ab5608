// Reads a request's JSON body against a schema, refusing what is too large, not JSON or of the wrong shape.
import type { Context } from 'hono';
import type { z } from 'zod';
import { ApiError, fromZod } from './errors.ts';

/** @throws ApiError 400 or 413 */
export async function readBody<S extends z.ZodType>(c: Context, schema: S, limitBytes: number): Promise<z.infer<S>> {
  const text = await readText(c, limitBytes);
  if (nesting(text) > DEEPEST) {
    throw new ApiError(400, `the body is nested more than ${DEEPEST} deep`, { code: 'invalid_json' });
  }
  const result = schema.safeParse(parse(text), { reportInput: true });
  if (!result.success) throw fromZod(result.error);
  return result.data;
}

/** Deeper bodies would overflow the stack of whatever walks through them. */
const DEEPEST = 250;

/** How many brackets are open at a time. */
function nesting(text: string): number {
  let [depth, most, quoted] = [0, 0, false];
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '"') quoted = !quoted;
    else if (quoted) at += character === '\\' ? 1 : 0;
    else if (character === '{' || character === '[') most = Math.max(most, ++depth);
    else if (character === '}' || character === ']') depth--;
  }
  return most;
}

/** Of a body that is too large, so many times the limit is read and dropped, because a caller hears no answer before it has sent all. */
const DROPPED = 8;

async function readText(c: Context, limit: number): Promise<string> {
  const tooLarge = () =>
    new ApiError(413, `the body is larger than ${limit} bytes`, {
      code: 'request_too_large',
      headers: { connection: 'close' },
    });
  if (Number(c.req.header('content-length') ?? 0) > DROPPED * limit) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of c.req.raw.body ?? []) {
    size += chunk.length;
    if (size > DROPPED * limit) throw tooLarge();
    if (size <= limit) chunks.push(chunk);
  }
  if (size > limit) throw tooLarge();
  return Buffer.concat(chunks).toString('utf8');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ApiError(400, `the body is not JSON: ${(error as Error).message}`, { code: 'invalid_json' });
  }
}
