// Models of sessions in a folder, their large constants in one file there that the runtimes map into memory, so that weights are never
// copied through JavaScript's heap.
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { diskError } from '../base/durable.ts';
import type { Constant, Graph } from '../graph/node.ts';
import type { OnnxReader } from '../graph/op.ts';
import { rawBytes } from '../graph/tensor.ts';
import { type ConstantStore, printOnnx } from '../onnx/print.ts';

/** Memory maps start at page boundaries. */
const PAGE = 4096;
const CONSTANTS = 'constants.bin';

/**
 * Constants of one name are written once, whatever the number of models that have them: they must be the same. Open until all sessions
 * are closed.
 */
export class ModelFolder implements ConstantStore {
  readonly #path: string;
  readonly #fd: number;
  readonly #places = new Map<string, { location: string; offset: number; length: number }>();
  #end = 0;
  #models = 0;

  /** @param parent default the system's folder of temporary files */
  constructor(parent: string = tmpdir()) {
    this.#path = mkdtempSync(join(parent, 'cupel-onnx-'));
    this.#fd = openSync(this.constants, 'wx');
  }

  /** The file of the constants. */
  get constants(): string {
    return join(this.#path, CONSTANTS);
  }

  /** Writes a graph as a model and returns its path. @throws CupelError when the disk is full */
  write(graph: Graph, reader: OnnxReader): string {
    const path = join(this.#path, `model-${this.#models++}.onnx`);
    writeFileSync(path, printOnnx(graph, this, reader));
    return path;
  }

  put(constant: Constant): { location: string; offset: number; length: number } {
    const { name, dtype } = constant.value;
    const known = this.#places.get(name);
    if (known) return known;
    const raw = rawBytes(dtype, constant.read());
    const offset = Math.ceil(this.#end / PAGE) * PAGE;
    try {
      for (let at = 0; at < raw.length; ) at += writeSync(this.#fd, raw, at, raw.length - at, offset + at);
    } catch (error) {
      throw diskError(error, this.constants);
    }
    this.#end = offset + raw.length;
    const place = { location: CONSTANTS, offset, length: raw.length };
    this.#places.set(name, place);
    return place;
  }

  /** Removes all. */
  close(): void {
    closeSync(this.#fd);
    rmSync(this.#path, { recursive: true, force: true });
  }
}
