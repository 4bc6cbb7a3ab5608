// Consistent stand-ins: the same secret always becomes the same text, and without the key nobody can check a guess.
import { createHmac } from 'node:crypto';

export class Pseudonyms {
  #key: Buffer;

  /** @param key at least 16 random bytes, kept beside the data and out of every export */
  constructor(key: Buffer) {
    this.#key = key;
  }

  /** `count` decimal digits that depend only on the key, the kind and the text; `salt` gives further choices. */
  digits(kind: string, canonical: string, count: number, salt = 0): string {
    const digest = this.#digest(kind, canonical, salt);
    return Array.from({ length: count }, (_, i) => digest[i % digest.length] % 10).join('');
  }

  /** Eight letters and digits (40 bits). */
  token(kind: string, canonical: string): string {
    const digest = this.#digest(kind, canonical, 0);
    return Array.from({ length: 8 }, (_, i) => ALPHABET[digest[i] % 32]).join('');
  }

  #digest(kind: string, canonical: string, salt: number): Buffer {
    return createHmac('sha256', this.#key).update(`${kind}\0${salt}\0${canonical}`).digest();
  }
}

const ALPHABET = 'abcdefghijkmnpqrstuvwxyz23456789';

/** Puts `digits` in place of the digits of `text`; separators stay. */
export function fillDigits(text: string, digits: string): string {
  let next = 0;
  return text.replace(/\d/g, () => digits[next++]);
}
