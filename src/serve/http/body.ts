// Reads a request's JSON body against a schema, refusing what is too large, not JSON or of the wrong shape.
import type { Context } from 'hono';
import type { z } from 'zod';
import { ApiError, fromZod } from './errors.ts';

/** @throws ApiError 400 or 413 */
export async function readBody<S extends z.ZodType>(c: Context, schema: S, limitBytes: number): Promise<z.infer<S>> {
  const result = schema.safeParse(parse(await readText(c, limitBytes)), { reportInput: true });
  if (!result.success) throw fromZod(result.error);
  return result.data;
}

async function readText(c: Context, limit: number): Promise<string> {
  const tooLarge = () =>
    new ApiError(413, `the body is larger than ${limit} bytes`, {
      code: 'request_too_large',
      headers: { connection: 'close' },
    });
  if (Number(c.req.header('content-length') ?? 0) > limit) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of c.req.raw.body ?? []) {
    size += chunk.length;
    if (size > limit) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ApiError(400, `the body is not JSON: ${(error as Error).message}`, { code: 'invalid_json' });
  }
}
