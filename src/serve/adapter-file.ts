// A PEFT adapter as the GGUF file that llama.cpp loads beside a model.
import { CupelError } from '../base/errors.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import { familyOfArchitecture } from '../formats/families/families.ts';
import type { Link } from '../formats/families/family.ts';
import type { GgufMetadata } from '../formats/gguf-metadata.ts';
import { required, stringAt } from '../formats/gguf-values.ts';
import { writeGguf } from '../formats/gguf-write.ts';
import { type AdapterPair, readPeft } from '../formats/peft.ts';
import { quantize } from '../formats/quantize.ts';
import { rowsToInterleaved } from '../formats/rotary-rows.ts';

/**
 * @param folder adapter_config.json and adapter_model.safetensors
 * @param model the GGUF file it is for
 * @throws CupelError when a module has no counterpart in the model
 */
export function writeAdapterFile(folder: string, model: string, path: string): void {
  const { alpha, rank, pairs } = readPeft(folder);
  const { architecture, links } = linksOf(model);
  const metadata: GgufMetadata = new Map([
    ['general.type', { type: 'string', value: 'adapter' }],
    ['general.architecture', { type: 'string', value: architecture }],
    ['adapter.type', { type: 'string', value: 'lora' }],
    ['adapter.lora.alpha', { type: 'f32', value: alpha }],
  ]);
  const tensors = [...pairs].flatMap(([module, pair]) => {
    const link = links.get(`${module}.weight`);
    if (link && !link.stack) return tensorsOf(link, pair, rank);
    throw new CupelError(`adapts ${module}, which this model does not have`, { place: { file: folder } });
  });
  writeGguf(path, metadata, tensors);
}

function tensorsOf(link: Link, { A, B, inputs, outputs }: AdapterPair, rank: number) {
  // llama.cpp computes B (A x), so the order of rows that it wants in the weight it wants in B
  const rows = link.interleave ? rowsToInterleaved(B, outputs, link.interleave.heads) : B;
  const tensor = (name: string, shape: number[], values: Float32Array) => ({
    name: `${link.gguf}.${name}`,
    type: 'F32' as const,
    shape,
    read: () => quantize('F32', values),
  });
  return [tensor('lora_a', [rank, inputs], A), tensor('lora_b', [outputs, rank], rows)];
}

function linksOf(model: string): { architecture: string; links: Map<string, Link> } {
  const checkpoint = openCheckpoint(model);
  try {
    const architecture = required(stringAt(checkpoint.gguf!.metadata, 'general.architecture'), 'general.architecture');
    const { links } = familyOfArchitecture(architecture).tensors(checkpoint.config);
    return { architecture, links: new Map(links.map((link) => [link.hf, link])) };
  } finally {
    checkpoint.close();
  }
}
