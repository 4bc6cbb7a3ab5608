// How a signed document names its signature: proofs, and the cascade files that `serve` believes.
import { z } from 'zod';

export const Signature = z.strictObject({
  algorithm: z.literal('ed25519'),
  /** SPKI, base64. */
  publicKey: z.string(),
  keyId: z.string(),
  /** Over the canonical JSON of the document, base64. */
  value: z.string(),
});
export type Signature = z.infer<typeof Signature>;
