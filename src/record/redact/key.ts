// The key of the pseudonyms: made once for each workspace and readable by its owner only.
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileDurably } from '../../base/durable.ts';
import { CupelError } from '../../base/errors.ts';

/**
 * `CUPEL_REDACTION_KEY` (64 hex digits, for several gateways that must agree), else the workspace's own key.
 * @throws CupelError when the key is malformed
 */
export function loadRedactionKey(folder: string, given: string | undefined): Buffer {
  const file = join(folder, 'redaction.key');
  if (given === undefined && !existsSync(file)) {
    writeFileDurably(file, `${randomBytes(32).toString('hex')}\n`);
    chmodSync(file, 0o600);
  }
  const text = given ?? readFileSync(file, 'utf8').trim();
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex');
  throw new CupelError('the redaction key is not 64 hex digits', {
    place: given === undefined ? { file } : { field: 'CUPEL_REDACTION_KEY' },
    remedy: 'make one with `openssl rand -hex 32`; pseudonyms made with another key will not match',
    exitCode: 2,
  });
}
