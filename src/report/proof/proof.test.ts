// Proofs: signed, checked offline, and refused after any change to the document, the model or the signer.
import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { sha256 } from '../../base/hash.ts';
import { checkProof, proofPath } from './check.ts';
import { configFolder, keyId, publicText, signingKey, trust, trustedKeys } from './keys.ts';
import { type Proof, type SignedProof, signProof } from './proof.ts';

const root = mkdtempSync(join(tmpdir(), 'cupel-proof-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const BYTES = Buffer.from('GGUF and then the weights');
let folder: string;
let model: string;
let keys: string;

function proofOf(changes: Partial<Proof> = {}): Proof {
  const interval = { lower: 0.9, upper: 1 };
  return {
    format: 'cupel-proof-1',
    verdict: 'proven',
    reasons: ['shown'],
    model: { name: 'student.gguf', bytes: BYTES.length, sha256: sha256(BYTES) },
    data: { key: 'k', testHash: sha256('test'), files: [] },
    quality: {
      student: 0.97,
      teacher: 1,
      ratio: 0.97,
      lower95: 0.955,
      n: 400,
      studentInterval: interval,
      teacherInterval: interval,
    },
    scorer: 'label',
    basis: 'reference',
    cost: { studentPer1k: 0.01, teacherPer1k: 1, share: 0.01, spent: 2 },
    floors: [],
    looks: 1,
    stages: [],
    machine: { cores: 2 },
    madeAt: '2026-01-02T03:04:05.000Z',
    ...changes,
  };
}

function write(signed: SignedProof): string {
  const file = proofPath(model);
  writeFileSync(file, JSON.stringify(signed));
  return file;
}

const check = (file: string) => checkProof(file, { trusted: trustedKeys(keys) });

beforeEach(() => {
  folder = mkdtempSync(join(root, 'model-'));
  keys = join(folder, 'config');
  model = join(folder, 'student.gguf');
  writeFileSync(model, BYTES);
});

describe('a proof', () => {
  test('is valid beside its model, wherever both go and however the JSON is laid out', async () => {
    const file = write(signProof(proofOf(), signingKey(keys)));
    expect(await check(file)).toMatchObject({ valid: true, problems: [], signer: { trusted: true } });
    const { proof, signature } = JSON.parse(readFileSync(file, 'utf8'));
    const reversed = Object.fromEntries(Object.entries(proof).reverse());
    writeFileSync(file, JSON.stringify({ signature, proof: reversed }, null, 4));
    renameSync(model, join(folder, 'renamed.gguf'));
    renameSync(file, join(folder, 'renamed.gguf.proof.json'));
    expect((await check(join(folder, 'renamed.gguf.proof.json'))).valid).toBe(true);
  });

  test('fails after one byte of the model is changed, wherever it is', async () => {
    const file = write(signProof(proofOf(), signingKey(keys)));
    for (let at = 0; at < BYTES.length; at++) {
      const changed = Buffer.from(BYTES);
      changed[at] ^= 1;
      writeFileSync(model, changed);
      expect((await check(file)).problems.join()).toMatch(/another file: SHA-256/);
    }
    writeFileSync(model, BYTES.subarray(1));
    expect((await check(file)).problems.join()).toMatch(/another file: 24 bytes/);
    rmSync(model);
    expect((await check(file)).problems.join()).toMatch(/not there/);
  });

  test('fails after any figure in it is changed', async () => {
    const signed = signProof(proofOf({ verdict: 'not proven' }), signingKey(keys));
    for (const changes of [
      { verdict: 'proven' as const },
      { looks: 0 },
      { cost: { ...signed.proof.cost, share: 0 } },
    ]) {
      const file = write({ ...signed, proof: { ...signed.proof, ...changes } });
      expect((await check(file)).problems.join()).toMatch(/signature does not hold/);
    }
  });

  test('fails after anything is added, at any depth, or said twice', async () => {
    const slices = [{ tag: 'note', value: 'with "quotes": and a \\ in it', n: 9, student: 1, teacher: 1 }];
    const signed = signProof(proofOf({ slices }), signingKey(keys));
    const file = write(signed);
    expect((await check(file)).valid).toBe(true);
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, text.replace('"lower95":', '"lower95_as_signed": 1, "lower95":'));
    expect((await check(file)).problems.join()).toMatch(/signature does not hold/);
    writeFileSync(file, text.replace('"verdict":', '"verdict": "not proven", "verdict":'));
    expect((await check(file)).problems.join()).toMatch(/stands in it twice/);
    for (const extra of ['"proof":', '"algorithm":']) {
      writeFileSync(file, text.replace(extra, `"note": "trust me", ${extra}`));
      await expect(check(file)).rejects.toThrow(/not a proof/);
    }
  });

  test('fails after any byte of it is changed that is no white space', async () => {
    const file = write(signProof(proofOf(), signingKey(keys)));
    const bytes = readFileSync(file);
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at] ^= 1;
      writeFileSync(file, changed);
      const valid = await check(file).then(
        (found) => found.valid,
        () => false,
      );
      expect(valid, `byte ${at} of ${bytes.subarray(at - 9, at + 9)}`).toBe(false);
    }
  });

  test('fails where the signature is spelled otherwise, though it decodes to the same bytes', async () => {
    const signed = signProof(proofOf(), signingKey(keys));
    const { value } = signed.signature;
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
    const last = value.length - 3;
    const other = `${value.slice(0, last)}${letters[letters.indexOf(value[last]) ^ 1]}==`;
    expect(Buffer.from(other, 'base64')).toEqual(Buffer.from(value, 'base64'));
    const file = write({ ...signed, signature: { ...signed.signature, value: other } });
    expect((await check(file)).problems.join()).toMatch(/signature does not hold/);
  });

  test('that says "not proven" is never valid', async () => {
    const file = write(signProof(proofOf({ verdict: 'not proven', reasons: ['too dear'] }), signingKey(keys)));
    expect(await check(file)).toMatchObject({ valid: false, problems: ['it says "not proven": too dear'] });
  });

  test('signed anew by a stranger is not believed until the key is trusted', async () => {
    const stranger = generateKeyPairSync('ed25519').privateKey;
    const file = write(signProof(proofOf(), stranger));
    signingKey(keys);
    const { valid, problems, signer } = await check(file);
    expect({ valid, problems }).toEqual({
      valid: false,
      problems: [`signed by ${keyId(publicText(stranger))}, a key that is not trusted here`],
    });
    const pem = trust(keys, signer.publicKey);
    expect((await check(file)).valid).toBe(true);
    const elsewhere = join(folder, 'other-config');
    expect((await checkProof(file, { trusted: trustedKeys(elsewhere) })).valid).toBe(false);
    expect((await checkProof(file, { trusted: trustedKeys(elsewhere, pem) })).valid).toBe(true);
  });

  test('that names another public key than signed it fails', async () => {
    const signed = signProof(proofOf(), generateKeyPairSync('ed25519').privateKey);
    const publicKey = publicText(signingKey(keys));
    const file = write({ ...signed, signature: { ...signed.signature, publicKey, keyId: keyId(publicKey) } });
    expect((await check(file)).problems.join()).toMatch(/signature does not hold/);
  });

  test('that is none is an error with a remedy', async () => {
    writeFileSync(proofPath(model), '{"proof": 1}');
    await expect(check(proofPath(model))).rejects.toMatchObject({ exitCode: 2, remedy: expect.stringMatching(/gate/) });
    await expect(check(join(folder, 'none.json'))).rejects.toThrow(/no proof/);
  });
});

describe('keys', () => {
  test('the own key is made once, for the user alone', () => {
    const made = publicText(signingKey(keys));
    expect(publicText(signingKey(keys))).toBe(made);
    if (process.platform !== 'win32') expect(statSync(join(keys, 'signing-key.pem')).mode & 0o777).toBe(0o600);
  });

  test.skipIf(process.platform === 'win32')(
    'a key that others may read is refused, and so is one of another kind',
    () => {
      signingKey(keys);
      chmodSync(join(keys, 'signing-key.pem'), 0o640);
      expect(() => signingKey(keys)).toThrow(/other users may read/);
      const rsa = join(folder, 'rsa.pem');
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
      writeFileSync(rsa, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
      expect(() => signingKey(keys, rsa)).toThrow(/not an Ed25519 key/);
      expect(() => signingKey(keys, join(folder, 'nowhere.pem'))).toThrow(/cannot be read/);
    },
  );

  test('the folder follows CUPEL_CONFIG and the platform', () => {
    expect(configFolder({ CUPEL_CONFIG: '/here' })).toBe('/here');
    if (process.platform === 'linux') expect(configFolder({ XDG_CONFIG_HOME: '/c' })).toBe('/c/cupel');
  });
});
