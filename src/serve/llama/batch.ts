// A llama_batch whose arrays are written from JavaScript without copies.
import koffi from 'koffi';
import type { Struct } from './layout.ts';
import type { Llama } from './library.ts';

/** Tokens for one llama_decode, with position, sequence and whether logits are wanted. */
export class Batch {
  readonly struct: Struct;
  readonly capacity: number;
  /** Rows of logits asked for so far. */
  outputs = 0;
  private readonly llama: Llama;
  private readonly tokens: Int32Array;
  private readonly positions: Int32Array;
  private readonly sequences: Int32Array;
  private readonly wanted: Int8Array;

  constructor(llama: Llama, capacity: number) {
    this.llama = llama;
    this.capacity = capacity;
    this.struct = llama.batchInit(capacity, 0, 1);
    this.tokens = new Int32Array(koffi.view(this.struct.token, capacity * 4));
    this.positions = new Int32Array(koffi.view(this.struct.pos, capacity * 4));
    this.wanted = new Int8Array(koffi.view(this.struct.logits, capacity));
    new Int32Array(koffi.view(this.struct.n_seq_id, capacity * 4)).fill(1);
    // each token has a list of sequences; ours have length one and lie in one array
    this.sequences = new Int32Array(capacity);
    const lists = new BigUint64Array(koffi.view(this.struct.seq_id, capacity * 8));
    const first = koffi.address(this.sequences);
    this.original = lists.slice();
    for (let i = 0; i < capacity; i++) lists[i] = first + BigInt(i * 4);
    this.lists = lists;
    this.clear();
  }

  private readonly lists: BigUint64Array;
  private readonly original: BigUint64Array;

  get size(): number {
    return this.struct.n_tokens as number;
  }

  clear(): void {
    this.struct.n_tokens = 0;
    this.outputs = 0;
  }

  /** @returns the row of the logits, or -1 when none are wanted */
  add(token: number, position: number, sequence: number, wantLogits: boolean): number {
    const at = this.size;
    this.tokens[at] = token;
    this.positions[at] = position;
    this.sequences[at] = sequence;
    this.wanted[at] = wantLogits ? 1 : 0;
    this.struct.n_tokens = at + 1;
    return wantLogits ? this.outputs++ : -1;
  }

  free(): void {
    // llama_batch_free frees the lists that llama_batch_init made
    this.lists.set(this.original);
    this.llama.batchFree(this.struct);
  }
}
