// The proof document: what was shown of one model file, with hashes, intervals, costs and versions, signed with Ed25519.
import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { z } from 'zod';
import { canonicalJson } from '../../base/hash.ts';
import { Signature } from '../../base/signature.ts';
import { keyId, publicText } from './keys.ts';

const Sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const Interval = z.object({ lower: z.number(), upper: z.number() });
const FileHash = z.object({ name: z.string(), bytes: z.number(), sha256: Sha256 });

export const Proof = z.looseObject({
  format: z.literal('cupel-proof-1'),
  verdict: z.enum(['proven', 'not proven']),
  reasons: z.array(z.string()),
  model: FileHash,
  /** The splits, and the hash of what the test asks whatever its order. */
  data: z.looseObject({ key: z.string(), testHash: Sha256, files: z.array(FileHash) }),
  quality: z.looseObject({
    student: z.number(),
    teacher: z.number(),
    ratio: z.number(),
    lower95: z.number(),
    n: z.number(),
    studentInterval: Interval,
    teacherInterval: Interval,
  }),
  scorer: z.string(),
  basis: z.enum(['reference', 'teacher']),
  /** USD. */
  cost: z.looseObject({ studentPer1k: z.number(), teacherPer1k: z.number(), share: z.number(), spent: z.number() }),
  floors: z.array(
    z.object({
      name: z.string(),
      wanted: z.number(),
      found: z.number(),
      n: z.number(),
      kept: z.boolean(),
      note: z.string(),
    }),
  ),
  /** How often this test split was looked at. */
  looks: z.number(),
  stages: z.array(z.object({ stage: z.string(), key: z.string(), version: z.number(), cupel: z.string() })),
  machine: z.record(z.string(), z.unknown()),
  madeAt: z.iso.datetime(),
});
export type Proof = z.infer<typeof Proof>;

export const SignedProof = z.strictObject({ proof: Proof, signature: Signature });
export type SignedProof = z.infer<typeof SignedProof>;

/** RFC 8032 signature over the UTF-8 bytes of the canonical JSON (sorted keys, no white space). */
export function signatureOf(document: object, key: KeyObject): Signature {
  const publicKey = publicText(key);
  const value = sign(null, Buffer.from(canonicalJson(document)), key).toString('base64');
  return { algorithm: 'ed25519', publicKey, keyId: keyId(publicKey), value };
}

export function signProof(proof: Proof, key: KeyObject): SignedProof {
  return { proof, signature: signatureOf(proof, key) };
}

/** Is the signature good for the document as it stands, by the key that it names itself? */
export function signatureHolds({ proof, signature }: { proof: object; signature: Signature }): boolean {
  try {
    const key = createPublicKey({ key: Buffer.from(signature.publicKey, 'base64'), type: 'spki', format: 'der' });
    // other spellings of the same bytes are other texts than were signed
    if (![signature.publicKey, signature.value].every(isPlainBase64)) return false;
    if (key.asymmetricKeyType !== 'ed25519' || keyId(signature.publicKey) !== signature.keyId) return false;
    return verify(null, Buffer.from(canonicalJson(proof)), key, Buffer.from(signature.value, 'base64'));
  } catch {
    // a key that is none
    return false;
  }
}

function isPlainBase64(text: string): boolean {
  return Buffer.from(text, 'base64').toString('base64') === text;
}
