// Picks the next token from logits: the plain maximum in JavaScript, everything else by llama.cpp's samplers.
import koffi from 'koffi';
import { CupelError } from '../../base/errors.ts';
import type { Pointer } from './layout.ts';
import type { Llama } from './library.ts';
import type { LlamaModel } from './model.ts';
import type { TokenBytes } from './tokenize.ts';
import { advanceUtf8, INVALID } from './utf8.ts';

export interface SamplingOptions {
  /** 0 is greedy. */
  temperature: number;
  topP?: number;
  topK?: number;
  minP?: number;
  seed?: number;
  frequencyPenalty?: number;
  presencePenalty?: number;
  /** 1 is none. */
  repeatPenalty?: number;
  /** Added to the logit of a token id. */
  logitBias?: Record<string, number>;
  /** GBNF whose rule `root` the answer must match. */
  grammar?: string;
}

/** One step of a grammar takes milliseconds. */
const SLOWEST_MS = 2000;

/** How many generated tokens the penalties look back on. */
const PENALTY_WINDOW = 4096;

export class Sampler {
  private readonly llama: Llama;
  private readonly chain: Pointer[];
  private readonly grammar: Pointer;
  private readonly bias: [number, number][];
  private readonly candidates: Candidates;
  private readonly endIds: ReadonlySet<number>;
  /** Of the text so far; only followed under a grammar, which itself takes any bytes for characters. */
  private utf8 = 0;

  /** @throws CupelError when the grammar does not parse */
  constructor(llama: Llama, model: LlamaModel, candidates: Candidates, options: SamplingOptions) {
    this.llama = llama;
    this.candidates = candidates;
    this.endIds = model.endIds;
    this.bias = Object.entries(options.logitBias ?? {})
      .map(([id, value]): [number, number] => [Number(id), value])
      .filter(([id]) => id >= 0 && id < model.vocabSize);
    this.grammar = options.grammar === undefined ? null : llama.samplerGrammar(model.vocab, options.grammar, 'root');
    if (options.grammar !== undefined && !this.grammar) {
      throw new CupelError('the schema cannot be enforced: it refers to itself without anything in between', {
        place: { field: 'grammar' },
      });
    }
    this.chain = createChain(llama, model, options);
  }

  /** @param logits one row; the bias is added in place */
  pick(logits: Float32Array): number {
    for (const [id, value] of this.bias) logits[id] += value;
    const first = this.chain.length === 0 ? indexOfLargest(logits) : this.sample(logits, null);
    if (!this.grammar) return first;
    return this.inTime(() => this.following(this.grammar, first, logits));
  }

  private following(grammar: Pointer, first: number, logits: Float32Array): number {
    if (this.isText(first) && this.candidates.allows(grammar, first, logits[first])) return first;
    // only when the free choice is forbidden is the whole vocabulary checked against the grammar
    return this.sample(logits, grammar);
  }

  /** A grammar that is ambiguous without bounds would keep all others waiting. */
  private inTime<T>(work: () => T): T {
    const started = performance.now();
    const done = work();
    if (performance.now() - started < SLOWEST_MS) return done;
    throw new CupelError('the schema has too many alternatives at once to be enforced', {
      place: { field: 'grammar' },
    });
  }

  /** Ends an answer, or goes on with whole characters of visible text. */
  private isText(token: number): boolean {
    if (this.endIds.has(token)) return this.utf8 === 0;
    const bytes = this.candidates.bytes.of(token);
    return bytes.length > 0 && advanceUtf8(this.utf8, bytes) !== INVALID;
  }

  /** Tells penalties and grammar which token was taken. */
  accept(token: number): void {
    if (this.grammar) {
      this.inTime(() => this.llama.samplerAccept(this.grammar, token));
      this.utf8 = advanceUtf8(this.utf8, this.candidates.bytes.of(token));
    }
    for (const sampler of this.chain) this.llama.samplerAccept(sampler, token);
  }

  free(): void {
    for (const sampler of [...this.chain, this.grammar]) if (sampler) this.llama.samplerFree(sampler);
  }

  private sample(logits: Float32Array, grammar: Pointer): number {
    this.candidates.fill(logits);
    if (grammar) {
      this.candidates.apply(grammar);
      this.candidates.forbid((token) => !this.isText(token));
    }
    for (const sampler of this.chain) this.candidates.apply(sampler);
    return this.chain.length === 0 ? this.candidates.largest() : this.candidates.selected();
  }
}

function createChain(llama: Llama, model: LlamaModel, options: SamplingOptions): Pointer[] {
  const chain: Pointer[] = [];
  const { frequencyPenalty = 0, presencePenalty = 0, repeatPenalty = 1 } = options;
  if (frequencyPenalty !== 0 || presencePenalty !== 0 || repeatPenalty !== 1) {
    chain.push(
      llama.samplerPenalties(model.vocabSize, PENALTY_WINDOW, repeatPenalty, frequencyPenalty, presencePenalty),
    );
  }
  if (options.temperature <= 0) return chain.length > 0 ? [...chain, llama.samplerGreedy()] : chain;
  if (options.topK) chain.push(llama.samplerTopK(options.topK));
  if (options.topP !== undefined && options.topP < 1) chain.push(llama.samplerTopP(options.topP, 1));
  if (options.minP) chain.push(llama.samplerMinP(options.minP, 1));
  chain.push(llama.samplerTemperature(options.temperature));
  chain.push(llama.samplerDist((options.seed ?? Math.floor(Math.random() * 0xfffffffe)) >>> 0));
  return chain;
}

/** Index of the largest value; the lowest index among equals. */
export function indexOfLargest(values: Float32Array): number {
  let best = Number.NEGATIVE_INFINITY;
  let at = 0;
  for (let i = 0; i < values.length; i++) {
    if (values[i] > best) {
      best = values[i];
      at = i;
    }
  }
  return at;
}

/** A llama_token_data_array over the whole vocabulary: entries { int32 id, float logit, float p }. One for each thread. */
export class Candidates {
  readonly bytes: TokenBytes;
  private readonly llama: Llama;
  private readonly count: number;
  private readonly ids: Int32Array;
  private readonly logits: Float32Array;
  /** { data pointer, size, selected, sorted } in 8-byte words. */
  private readonly header = new BigInt64Array(4);
  private readonly headerBytes = new Uint8Array(this.header.buffer);
  private readonly address: bigint;

  constructor(llama: Llama, vocabSize: number, bytes: TokenBytes) {
    this.llama = llama;
    this.bytes = bytes;
    this.count = vocabSize;
    const memory = new ArrayBuffer(vocabSize * 12);
    this.ids = new Int32Array(memory);
    this.logits = new Float32Array(memory);
    this.address = koffi.address(this.ids);
  }

  fill(logits: Float32Array): void {
    const { ids, logits: target } = this;
    for (let i = 0, at = 0; i < this.count; i++, at += 3) {
      ids[at] = i;
      target[at + 1] = logits[i];
      target[at + 2] = 0;
    }
    this.reset(this.count);
  }

  apply(sampler: Pointer): void {
    this.llama.samplerApply(sampler, this.headerBytes);
  }

  /** Forbids what is still allowed and fails a test. @throws CupelError when nothing is left */
  forbid(test: (token: number) => boolean): void {
    let left = 0;
    for (let at = 0; at < this.count * 3; at += 3) {
      if (this.logits[at + 1] === Number.NEGATIVE_INFINITY) continue;
      if (test(this.ids[at])) this.logits[at + 1] = Number.NEGATIVE_INFINITY;
      else left++;
    }
    if (left === 0)
      throw new CupelError('no token of the vocabulary satisfies the grammar', { place: { field: 'grammar' } });
  }

  /** The token that the last sampler of the chain chose. */
  selected(): number {
    const index = Number(this.header[2]);
    if (index < 0) return this.largest();
    return new DataView(koffi.view(this.header[0] as bigint, Number(this.header[1]) * 12)).getInt32(index * 12, true);
  }

  largest(): number {
    let best = Number.NEGATIVE_INFINITY;
    let at = 0;
    for (let i = 0; i < Number(this.header[1]) * 3; i += 3) {
      if (this.logits[i + 1] > best) {
        best = this.logits[i + 1];
        at = i;
      }
    }
    return this.ids[at];
  }

  /** Whether a grammar would let this token come next. */
  allows(grammar: Pointer, token: number, logit: number): boolean {
    this.ids[0] = token;
    this.logits[1] = logit;
    this.reset(1);
    this.apply(grammar);
    return this.logits[1] !== Number.NEGATIVE_INFINITY;
  }

  private reset(size: number): void {
    this.header[0] = this.address;
    this.header[1] = BigInt(size);
    this.header[2] = -1n;
    this.header[3] = 0n;
  }
}
