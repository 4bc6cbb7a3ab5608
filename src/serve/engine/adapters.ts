// LoRA adapters of one model, loaded and dropped by name while it serves.
import type { Pointer } from '../llama/layout.ts';
import type { Llama } from '../llama/library.ts';
import type { LlamaModel } from '../llama/model.ts';
import { Refused } from './refused.ts';

export class Adapters {
  readonly pointers = new Map<string, Pointer>();
  private readonly llama: Llama;
  private readonly model: LlamaModel;

  constructor(llama: Llama, model: LlamaModel) {
    this.llama = llama;
    this.model = model;
  }

  /** @throws Refused when the name is taken or llama.cpp refuses the file */
  load(name: string, path: string): void {
    if (this.pointers.has(name)) throw new Refused('bad_adapter', `an adapter '${name}' is already loaded`);
    const pointer = this.llama.loadAdapter(this.model.pointer, path);
    if (!pointer) throw new Refused('bad_adapter', `${path} is no LoRA adapter in GGUF form for this model`);
    this.pointers.set(name, pointer);
  }

  unload(name: string): void {
    this.llama.freeAdapter(this.require(name));
    this.pointers.delete(name);
  }

  /** @throws Refused */
  require(name: string): Pointer {
    const pointer = this.pointers.get(name);
    if (pointer === undefined) throw new Refused('unknown_adapter', `no adapter '${name}' is loaded`);
    return pointer;
  }
}
