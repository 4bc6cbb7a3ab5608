// Text to token ids and token ids to bytes, by llama.cpp's own vocabulary code.
import type { Llama } from './library.ts';
import type { LlamaModel } from './model.ts';

export interface TokenizeOptions {
  /** Adds the begin-of-sequence token where the model wants one. Default false. */
  addSpecial?: boolean;
  /** Text that spells a control token becomes that token. Default false: never for what a user wrote. */
  parseSpecial?: boolean;
}

/** Token ids of a text. */
export function tokenize(llama: Llama, model: LlamaModel, text: string, options: TokenizeOptions = {}): number[] {
  if (text === '' && !options.addSpecial) return [];
  const bytes = Buffer.from(text, 'utf8');
  const run = (room: Int32Array) =>
    llama.tokenize(
      model.vocab,
      bytes,
      bytes.length,
      room,
      room.length,
      options.addSpecial ?? false,
      options.parseSpecial ?? false,
    );
  let room = new Int32Array(bytes.length + 2);
  let count = run(room);
  if (count < 0) {
    room = new Int32Array(-count);
    count = run(room);
  }
  return Array.from(room.subarray(0, count));
}

/** Bytes of tokens, remembered. A token may hold part of a UTF-8 character; control tokens have no bytes. */
export class TokenBytes {
  private readonly llama: Llama;
  private readonly model: LlamaModel;
  private readonly known = new Map<number, Uint8Array>();
  private readonly room = new Uint8Array(1024);
  private most: number | undefined;

  constructor(llama: Llama, model: LlamaModel) {
    this.llama = llama;
    this.model = model;
  }

  /** Of the longest token, at least 64: names of control tokens count too. */
  get longest(): number {
    this.most ??= Array.from({ length: this.model.vocabSize }, (_, token) => this.of(token).length).reduce(
      (a, b) => Math.max(a, b),
      64,
    );
    return this.most;
  }

  of(token: number): Uint8Array {
    let bytes = this.known.get(token);
    if (!bytes) {
      const length = this.llama.tokenToPiece(this.model.vocab, token, this.room, this.room.length, 0, false);
      bytes = this.room.slice(0, Math.max(0, length));
      this.known.set(token, bytes);
    }
    return bytes;
  }
}
