// Checks a proof offline: is it whole, by whom is it signed, is it for this very model file, and does it say "proven"?
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { CupelError } from '../../base/errors.ts';
import { sha256File } from '../../base/hash.ts';
import { keyId } from './keys.ts';
import { type Proof, SignedProof, signatureHolds } from './proof.ts';

/** `MODEL.gguf.proof.json`. */
export function proofPath(model: string): string {
  return `${model}.proof.json`;
}

export interface Checked {
  valid: boolean;
  /** Why it is not valid, the gravest first. */
  problems: string[];
  signer: { keyId: string; publicKey: string; trusted: boolean };
  model: string;
  proof: Proof;
}

/** @throws CupelError when the file is no proof at all */
function readProof(file: string): { signed: SignedProof; ambiguous: boolean } {
  if (!existsSync(file)) {
    throw new CupelError('there is no proof', {
      place: { file },
      remedy: 'make one with `cupel gate MODEL`',
      exitCode: 2,
    });
  }
  try {
    const text = readFileSync(file, 'utf8');
    const signed: unknown = JSON.parse(text);
    SignedProof.parse(signed);
    // what was parsed has lost members that are not known: the signature is over all that stands there
    return { signed: signed as SignedProof, ambiguous: namesIn(text) !== membersOf(signed) };
  } catch (cause) {
    throw new CupelError('not a proof that this version can read', {
      place: { file },
      remedy: 'make it again with `cupel gate MODEL`',
      exitCode: 2,
      cause,
    });
  }
}

/** Names of members in a JSON text, those included that a parser drops because a later one has the same name. */
function namesIn(json: string): number {
  return json.match(/"(?:[^"\\]|\\.)*"(?:\s*:)?/g)?.filter((token) => token.endsWith(':')).length ?? 0;
}

function membersOf(value: unknown): number {
  if (value === null || typeof value !== 'object') return 0;
  const inner = Object.values(value).reduce<number>((sum, one) => sum + membersOf(one), 0);
  return Array.isArray(value) ? inner : inner + Object.keys(value).length;
}

/** @param options.model the model file; without it the one beside the proof */
export async function checkProof(
  file: string,
  options: { trusted: readonly string[]; model?: string },
): Promise<Checked> {
  const { signed, ambiguous } = readProof(file);
  const { proof, signature } = signed;
  const model = options.model ?? modelBeside(file, proof);
  const trusted = options.trusted.includes(signature.publicKey);
  const problems = [
    !signatureHolds(signed) && 'the signature does not hold: the proof was changed after it was signed',
    ambiguous && 'a name stands in it twice: what a reader sees need not be what was signed',
    await modelProblem(model, proof.model),
    proof.verdict !== 'proven' && `it says "not proven": ${proof.reasons.join('; ')}`,
    !trusted && `signed by ${keyId(signature.publicKey)}, a key that is not trusted here`,
  ].filter((problem) => problem !== false);
  const signer = { keyId: keyId(signature.publicKey), publicKey: signature.publicKey, trusted };
  return { valid: problems.length === 0, problems, signer, model, proof };
}

/** The file that the proof is named after, wherever both were moved; else the name it was made under. */
function modelBeside(file: string, proof: Proof): string {
  const named = file.replace(/\.proof\.json$/, '');
  return named !== file && existsSync(named) ? named : join(dirname(file), basename(proof.model.name));
}

async function modelProblem(path: string, wanted: Proof['model']): Promise<string | false> {
  if (!existsSync(path)) return `the model is not there: ${path}`;
  const { size } = statSync(path);
  if (size !== wanted.bytes) return `the model is another file: ${size} bytes, ${wanted.bytes} were proven`;
  const sha256 = await sha256File(path);
  return sha256 !== wanted.sha256 && `the model is another file: SHA-256 ${sha256}, proven was ${wanted.sha256}`;
}
