// Large constants in one file that ONNX Runtime maps into memory, so that weights are never copied through JavaScript's heap.
import { closeSync, openSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { diskError } from '../base/durable.ts';
import type { Constant } from '../graph/node.ts';
import { rawBytes } from '../graph/tensor.ts';
import type { ConstantStore } from '../onnx/print.ts';

/** Memory maps start at page boundaries. */
const PAGE = 4096;

/** Appends constants one at a time; `close` before the file is read. */
export class ConstantFile implements ConstantStore {
  readonly #path: string;
  readonly #fd: number;
  #end = 0;

  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, 'wx');
  }

  put(constant: Constant): { location: string; offset: number; length: number } {
    const raw = rawBytes(constant.value.dtype, constant.read());
    const offset = Math.ceil(this.#end / PAGE) * PAGE;
    try {
      for (let at = 0; at < raw.length; ) at += writeSync(this.#fd, raw, at, raw.length - at, offset + at);
    } catch (error) {
      throw diskError(error, this.#path);
    }
    this.#end = offset + raw.length;
    return { location: basename(this.#path), offset, length: raw.length };
  }

  close(): void {
    closeSync(this.#fd);
  }
}
