// Understands an answer while it passes: its events put together again, its tokens, its first token.
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';
import { Reassembly } from '../proxy/reassemble.ts';
import { SseReader } from '../proxy/sse.ts';

/** Bytes of an answer that are kept for the record; the caller gets all of it in any case. */
const KEEP = 64 << 20;

const DECODERS: Record<string, (bytes: Buffer) => Buffer> = {
  gzip: gunzipSync,
  deflate: inflateSync,
  br: brotliDecompressSync,
};

/** Takes the chunks of one answer; `result` is what is recorded of it. */
export class Collected {
  readonly streamed: boolean;
  #decode: ((bytes: Buffer) => Buffer) | undefined;
  /** Compressed in a way that is not known here. */
  #sealed: boolean;
  #type: string;
  #chunks: Buffer[] = [];
  #size = 0;
  #events = new Reassembly();
  #reader: SseReader | undefined;

  /** @param contentType, contentEncoding the answer's headers; an upstream may compress though it was asked not to */
  constructor(contentType: string | undefined, contentEncoding: string | undefined) {
    this.#type = contentType ?? '';
    const encoding = contentEncoding?.trim().toLowerCase() ?? '';
    this.#decode = DECODERS[encoding];
    this.#sealed = !this.#decode && encoding !== '' && encoding !== 'identity';
    this.streamed = /^text\/event-stream/i.test(this.#type);
    if (this.streamed && !this.#decode && !this.#sealed) this.#reader = new SseReader((data) => this.#events.add(data));
  }

  /** Events that can be read as they come: not those of a compressed stream. */
  get legible(): boolean {
    return this.#reader !== undefined;
  }

  /** The stream's end mark has come. */
  get ended(): boolean {
    return this.#reader?.done ?? false;
  }

  /** Something of the answer itself has come; where events are not read, anything. */
  get begun(): boolean {
    return this.#reader ? this.#events.begun : this.#size > 0;
  }

  /** The stream itself says that the upstream failed; known for certain after `result`. */
  get failed(): boolean {
    return this.#events.failed;
  }

  add(chunk: Buffer): void {
    this.#size += chunk.length;
    if (this.#reader) this.#reader.push(chunk);
    else if (this.#size <= KEEP) this.#chunks.push(chunk);
  }

  /** What is recorded: JSON, a completion put together from its events, text, or a note on bytes. Call it once, at the end. */
  result(): unknown {
    if (this.#size === 0) return null;
    if (this.#sealed || (this.#size > KEEP && !this.#reader)) return this.#note();
    let bytes: Buffer = Buffer.concat(this.#chunks);
    try {
      if (this.#decode) bytes = this.#decode(bytes);
    } catch {
      return this.#note();
    }
    if (this.streamed) return this.#eventsOf(bytes);
    if (!/json|text|xml/i.test(this.#type)) return this.#note();
    const text = bytes.toString('utf8');
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }

  #eventsOf(bytes: Buffer): unknown {
    const reader = this.#reader ?? new SseReader((data) => this.#events.add(data));
    if (!this.#reader) reader.push(bytes);
    reader.end();
    return this.#events.result;
  }

  #note(): unknown {
    return { content_type: this.#type, bytes: this.#size };
  }
}
