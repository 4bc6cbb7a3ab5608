// Reads GGUF files (versions 2 and 3, little-endian): metadata and tensor table at once, tensor data when asked for.
import { FileReader } from './file-reader.ts';
import { GGML_TYPES, type GgmlTypeName, ggmlBytes, ggmlTypeName } from './ggml-types.ts';
import { type GgufMetadata, readCount, readMetadata, readString } from './gguf-metadata.ts';

export interface GgufTensor {
  name: string;
  type: GgmlTypeName;
  /** Row-major, slowest dimension first, as Hugging Face and NumPy write it (GGUF itself stores the reverse). */
  shape: number[];
  elements: number;
  /** Where the data begins in the file, in bytes. */
  offset: number;
  bytes: number;
}

export interface Gguf {
  path: string;
  version: number;
  metadata: GgufMetadata;
  tensors: Map<string, GgufTensor>;
  /** The bytes of a tensor as they lie in the file. @throws CupelError when there is no such tensor */
  readRaw(name: string): Uint8Array<ArrayBuffer>;
  /** `count` bytes of a tensor from byte `from` of it. */
  readRange(name: string, from: number, count: number): Uint8Array<ArrayBuffer>;
  close(): void;
}

const MAGIC = 0x46554747;
const LONGEST_NAME = 1024;
/** Name length, dimensions, one dimension, type, offset: no tensor or key takes fewer bytes in the file. */
const LEAST_TENSOR_BYTES = 8 + 4 + 8 + 4 + 8;
const LEAST_KEY_BYTES = 8 + 4 + 1;

/** True when the file begins with the GGUF magic. */
export function looksLikeGguf(head: Uint8Array): boolean {
  return head.length >= 4 && Buffer.from(head).readUInt32LE() === MAGIC;
}

/**
 * Opens a GGUF file. Counts, offsets and sizes are checked against the file before anything is allocated.
 * @throws CupelError for a file that is none, damaged, or of a version or tensor type that is not supported
 */
export function openGguf(path: string): Gguf {
  const file = new FileReader(path);
  try {
    return parse(file);
  } catch (error) {
    file.close();
    throw error;
  }
}

function parse(file: FileReader): Gguf {
  if (file.take(4, 'magic').readUInt32LE() !== MAGIC) file.fail('not a GGUF file: it does not begin with "GGUF"');
  const version = file.take(4, 'version').readUInt32LE();
  if (version !== 2 && version !== 3) file.fail(`GGUF version ${version} is not supported (2 and 3 are)`, 'version');
  const tensorCount = readCount(file, 'tensor_count');
  const keyCount = readCount(file, 'kv_count');
  if (tensorCount * LEAST_TENSOR_BYTES > file.remaining) file.fail(`${tensorCount} tensors do not fit`, 'tensor_count');
  if (keyCount * LEAST_KEY_BYTES > file.remaining) file.fail(`${keyCount} keys do not fit`, 'kv_count');
  const metadata = readMetadata(file, keyCount);
  const tensors = new Map<string, GgufTensor>();
  for (let i = 0; i < tensorCount; i++) {
    const tensor = readTensorInfo(file, i);
    if (tensors.has(tensor.name)) file.fail('the tensor occurs twice', tensor.name);
    tensors.set(tensor.name, tensor);
  }
  placeTensors(file, metadata, tensors);
  const tensorOf = (name: string) => tensors.get(name) ?? file.fail('there is no such tensor', name);
  return {
    path: file.path,
    version,
    metadata,
    tensors,
    readRaw(name) {
      const tensor = tensorOf(name);
      return file.read(tensor.offset, tensor.bytes);
    },
    readRange(name, from, count) {
      const tensor = tensorOf(name);
      if (!(from >= 0 && count >= 0 && from + count <= tensor.bytes)) file.fail('the range leaves the tensor', name);
      return file.read(tensor.offset + from, count);
    },
    close: () => file.close(),
  };
}

function readTensorInfo(file: FileReader, index: number): GgufTensor {
  const name = readString(file, `name of tensor ${index + 1}`, LONGEST_NAME);
  const dimensions = file.take(4, name).readUInt32LE();
  if (dimensions < 1 || dimensions > 4) file.fail(`${dimensions} dimensions (1 to 4 are possible)`, name);
  const shape = Array.from({ length: dimensions }, () => readCount(file, name)).reverse();
  const elements = shape.reduce((product, size) => product * size, 1);
  if (shape.includes(0) || elements > Number.MAX_SAFE_INTEGER) file.fail(`shape [${shape}] is absurd`, name);
  const id = file.take(4, name).readUInt32LE();
  const type = ggmlTypeName(id) ?? file.fail(`tensor type ${id} is not supported`, name);
  if (shape[shape.length - 1] % GGML_TYPES[type].block !== 0) {
    file.fail(`rows of ${shape[shape.length - 1]} values are not whole ${type} blocks`, name);
  }
  return { name, type, shape, elements, offset: readCount(file, name), bytes: ggmlBytes(type, elements) };
}

/** Turns offsets within the data into offsets within the file and checks that tensors lie inside it, apart and aligned. */
function placeTensors(file: FileReader, metadata: GgufMetadata, tensors: Map<string, GgufTensor>): void {
  const alignment = metadata.get('general.alignment')?.value ?? 32;
  if (typeof alignment !== 'number' || alignment < 1 || alignment > 65536 || (alignment & (alignment - 1)) !== 0) {
    file.fail('must be a power of two up to 65536', 'general.alignment');
  }
  const start = Math.ceil(file.position / alignment) * alignment;
  let end = 0;
  for (const tensor of [...tensors.values()].sort((a, b) => a.offset - b.offset)) {
    if (tensor.offset % alignment !== 0) file.fail(`its data is not aligned to ${alignment} bytes`, tensor.name);
    if (tensor.offset < end) file.fail('its data overlaps that of another tensor', tensor.name);
    end = tensor.offset + tensor.bytes;
    if (start + end > file.size) file.fail('its data lies beyond the end of the file', tensor.name);
    tensor.offset += start;
  }
}
