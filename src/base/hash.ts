// Content hashes: the identity of files, rows and artifacts.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { CupelError } from './errors.ts';

/** SHA-256 of text or bytes, lower-case hex. */
export function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** SHA-256 of a file's bytes, streamed. @throws CupelError (exit code 2) where there is no file */
export async function sha256File(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const known =
      code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'it is a folder, not a file' : message;
    throw new CupelError(known, { place: { file: path }, remedy: 'check the path', exitCode: 2, cause });
  }
  return hash.digest('hex');
}

/** JSON with sorted keys, so that equal values have equal text. `undefined` members are left out. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : inner,
  );
}

/** SHA-256 of a JSON value, independent of the order of keys. */
export function hashJson(value: unknown): string {
  return sha256(canonicalJson(value));
}
