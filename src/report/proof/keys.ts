// The keys that sign proofs: a private Ed25519 key in the user's configuration folder, and the public keys that are trusted.
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { CupelError } from '../../base/errors.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** CUPEL_CONFIG, or `cupel` in the platform's folder for configuration. */
export function configFolder(env: Environment): string {
  if (env.CUPEL_CONFIG) return env.CUPEL_CONFIG;
  if (process.platform === 'win32') return join(env.APPDATA ?? join(homedir(), 'AppData', 'Roaming'), 'cupel');
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Application Support', 'cupel');
  return join(env.XDG_CONFIG_HOME || join(homedir(), '.config'), 'cupel');
}

const KEY_FILE = 'signing-key.pem';
const TRUSTED = 'trusted-keys';

/**
 * The key in `file` (PKCS#8 PEM), or the user's own, which is made on first use with mode 0600.
 * @throws CupelError when it is no Ed25519 key, or others may read it
 */
export function signingKey(folder: string, file?: string): KeyObject {
  const path = file ?? join(folder, KEY_FILE);
  if (file === undefined && !existsSync(path)) makeKey(folder, path);
  // Windows keeps access in lists that the mode does not show
  if (process.platform !== 'win32' && existsSync(path) && (statSync(path).mode & 0o077) !== 0) {
    throw new CupelError('other users may read this signing key', {
      place: { file: path },
      remedy: `chmod 600 ${path}`,
      exitCode: 2,
    });
  }
  return readKey(path, createPrivateKey);
}

function makeKey(folder: string, path: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { privateKey } = generateKeyPairSync('ed25519');
  writeFileSync(path, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600, flag: 'wx' });
  // a lax umask cannot widen the mode, but a folder's default access list can
  chmodSync(path, 0o600);
}

function readKey(path: string, parse: (pem: string) => KeyObject): KeyObject {
  try {
    const key = parse(readFileSync(path, 'utf8'));
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch (cause) {
    throw new CupelError(`the key cannot be read: ${(cause as Error).message}`, {
      place: { file: path },
      remedy: 'give a PEM file: openssl genpkey -algorithm ed25519 -out key.pem',
      exitCode: 2,
      cause,
    });
  }
  throw new CupelError('not an Ed25519 key', {
    place: { file: path },
    remedy: 'make one: openssl genpkey -algorithm ed25519 -out key.pem',
    exitCode: 2,
  });
}

/** SPKI in base64, as proofs carry it. */
export function publicText(key: KeyObject): string {
  const open = key.type === 'private' ? createPublicKey(key) : key;
  return open.export({ type: 'spki', format: 'der' }).toString('base64');
}

/** Short name of a public key: the first 16 hex digits of the SHA-256 of its SPKI bytes. */
export function keyId(spki: string): string {
  return createHash('sha256').update(Buffer.from(spki, 'base64')).digest('hex').slice(0, 16);
}

/** Public keys whose proofs are believed: the user's own, those in `trusted-keys/`, and a PEM file given. */
export function trustedKeys(folder: string, file?: string): string[] {
  const own = join(folder, KEY_FILE);
  const others = join(folder, TRUSTED);
  const names = existsSync(others) ? readdirSync(others).filter((name) => name.endsWith('.pem')) : [];
  return [
    ...(existsSync(own) ? [publicText(readKey(own, createPrivateKey))] : []),
    ...names.map((name) => publicText(readKey(join(others, name), createPublicKey))),
    ...(file ? [publicText(readKey(file, createPublicKey))] : []),
  ];
}

/** Adds a public key to the trusted ones. @returns its file */
export function trust(folder: string, spki: string): string {
  const key = createPublicKey({ key: Buffer.from(spki, 'base64'), type: 'spki', format: 'der' });
  const path = join(folder, TRUSTED, `${keyId(spki)}.pem`);
  mkdirSync(join(folder, TRUSTED), { recursive: true, mode: 0o700 });
  writeFileSync(path, key.export({ type: 'spki', format: 'pem' }));
  return path;
}
