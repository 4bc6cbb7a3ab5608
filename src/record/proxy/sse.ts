// Reads server-sent events as they come, without touching the bytes that are passed on.
import { StringDecoder } from 'node:string_decoder';

/** Calls `onData` with the data of each event. Follows the WHATWG rules for `\n`, `\r\n` and several `data` lines. */
export class SseReader {
  #decoder = new StringDecoder('utf8');
  #rest = '';
  #data: string[] = [];
  #onData: (data: string) => void;
  #done = false;

  constructor(onData: (data: string) => void) {
    this.#onData = onData;
  }

  /** OpenAI's end mark was read as data of its own; a text that mentions it is no end. */
  get done(): boolean {
    return this.#done;
  }

  push(chunk: Uint8Array): void {
    this.#feed(this.#decoder.write(chunk as Buffer));
  }

  /** At the end of the stream: an event that lacks its blank line still counts. */
  end(): void {
    this.#feed(`${this.#decoder.end()}\n\n`);
  }

  #feed(text: string): void {
    const all = this.#rest + text;
    let from = 0;
    for (let at = all.indexOf('\n'); at >= 0; at = all.indexOf('\n', from)) {
      this.#line(all.slice(from, all[at - 1] === '\r' ? at - 1 : at));
      from = at + 1;
    }
    this.#rest = all.slice(from);
  }

  #line(line: string): void {
    if (line === '') {
      if (this.#data.length > 0) this.#onData(this.#data.join('\n'));
      this.#data = [];
    } else if (line.startsWith('data:')) {
      const data = line.slice(line[5] === ' ' ? 6 : 5);
      this.#done ||= data.trim() === '[DONE]';
      this.#data.push(data);
    }
  }
}

const DONE = Buffer.from('[DONE]');

/** Tells cheaply which chunk may carry OpenAI's end mark `[DONE]`, also when it is split over two. */
export class DoneDetector {
  #tail: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): boolean {
    if (chunk.includes(DONE)) return true;
    const edge = Buffer.concat([this.#tail, chunk.subarray(0, DONE.length - 1)]);
    const last = chunk.length >= DONE.length ? chunk : edge;
    this.#tail = last.subarray(-(DONE.length - 1));
    return edge.includes(DONE);
  }
}
