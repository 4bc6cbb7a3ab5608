// The tensor types of ggml: their numbers in GGUF files, and how many values a block holds in how many bytes.

export interface GgmlType {
  id: number;
  /** Values per block. */
  block: number;
  /** Bytes per block. */
  bytes: number;
}

const type = (id: number, block: number, bytes: number): GgmlType => ({ id, block, bytes });

/** Types this package can size; `dequantize` reads most of them, `quantize` writes a few. Numbers are those of ggml.h. */
export const GGML_TYPES = {
  F32: type(0, 1, 4),
  F16: type(1, 1, 2),
  Q4_0: type(2, 32, 18),
  Q4_1: type(3, 32, 20),
  Q5_0: type(6, 32, 22),
  Q5_1: type(7, 32, 24),
  Q8_0: type(8, 32, 34),
  Q2_K: type(10, 256, 84),
  Q3_K: type(11, 256, 110),
  Q4_K: type(12, 256, 144),
  Q5_K: type(13, 256, 176),
  Q6_K: type(14, 256, 210),
  IQ4_NL: type(20, 32, 18),
  IQ4_XS: type(23, 256, 136),
  I8: type(24, 1, 1),
  I16: type(25, 1, 2),
  I32: type(26, 1, 4),
  I64: type(27, 1, 8),
  F64: type(28, 1, 8),
  BF16: type(30, 1, 2),
} as const satisfies Record<string, GgmlType>;

export type GgmlTypeName = keyof typeof GGML_TYPES;

const NAMES = new Map(Object.entries(GGML_TYPES).map(([name, { id }]) => [id, name as GgmlTypeName]));

/** The name of a type number, or undefined for one this package does not know. */
export function ggmlTypeName(id: number): GgmlTypeName | undefined {
  return NAMES.get(id);
}

/** Bytes of `elements` values of a type; the caller sees to it that rows are whole blocks. */
export function ggmlBytes(name: GgmlTypeName, elements: number): number {
  const { block, bytes } = GGML_TYPES[name];
  return (elements / block) * bytes;
}
