// The messages of onnx.proto that a model is made of; the numbers are its field numbers.
import type { DType, Shape, TensorData, ValueType } from '../graph/node.ts';
import type { OnnxAttribute } from '../graph/op.ts';
import { rawBytes } from '../graph/tensor.ts';
import { bytes, float, integer, join, text } from './protobuf.ts';

const DATA_TYPES: Record<DType, number> = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7, bool: 9, int4: 22 };

/** TensorProto with its data inside. */
export function tensorProto(name: string, dtype: DType, shape: readonly number[], data: TensorData): Uint8Array {
  return join([...tensorHead(name, dtype, shape), bytes(9, rawBytes(dtype, data))]);
}

/** TensorProto whose data lies in another file. */
export function externalTensorProto(
  name: string,
  dtype: DType,
  shape: readonly number[],
  place: { location: string; offset: number; length: number },
): Uint8Array {
  const entry = (key: string, value: string | number) => bytes(13, join([text(1, key), text(2, String(value))]));
  const where = Object.entries(place).map(([key, value]) => entry(key, value));
  return join([...tensorHead(name, dtype, shape), ...where, integer(14, 1)]);
}

function tensorHead(name: string, dtype: DType, shape: readonly number[]): Uint8Array[] {
  return [...shape.map((dim) => integer(1, dim)), integer(2, DATA_TYPES[dtype]), text(8, name)];
}

/** ValueInfoProto; symbols become named dimensions. */
export function valueInfo(name: string, { dtype, shape }: ValueType): Uint8Array {
  const tensor = join([integer(1, DATA_TYPES[dtype]), bytes(2, shapeProto(shape))]);
  return join([text(1, name), bytes(2, bytes(1, tensor))]);
}

function shapeProto(shape: Shape): Uint8Array {
  return join(shape.map((dim) => bytes(1, typeof dim === 'string' ? text(2, dim) : integer(1, dim))));
}

/** NodeProto. */
export function nodeProto(
  type: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Readonly<Record<string, OnnxAttribute>>,
  domain: string,
): Uint8Array {
  return join([
    ...inputs.map((input) => text(1, input)),
    ...outputs.map((output) => text(2, output)),
    text(3, outputs[0]),
    text(4, type),
    ...Object.entries(attributes).map(([name, value]) => bytes(5, attributeProto(name, value))),
    text(7, domain),
  ]);
}

function attributeProto(name: string, value: OnnxAttribute): Uint8Array {
  const head = text(1, name);
  if ('float' in value) return join([head, float(2, value.float), integer(20, 1)]);
  if ('int' in value) return join([head, integer(3, value.int), integer(20, 2)]);
  if ('string' in value) return join([head, text(4, value.string), integer(20, 3)]);
  return join([head, ...value.ints.map((int) => integer(8, int)), integer(20, 7)]);
}

/** ModelProto around a graph's parts. */
export function modelProto(graph: {
  nodes: readonly Uint8Array[];
  initializers: readonly Uint8Array[];
  inputs: readonly Uint8Array[];
  outputs: readonly Uint8Array[];
}): Uint8Array {
  const graphProto = join([
    ...graph.nodes.map((node) => bytes(1, node)),
    text(2, 'cupel'),
    ...graph.initializers.map((tensor) => bytes(5, tensor)),
    ...graph.inputs.map((value) => bytes(11, value)),
    ...graph.outputs.map((value) => bytes(12, value)),
  ]);
  const opset = (domain: string, version: number) => bytes(8, join([text(1, domain), integer(2, version)]));
  return join([integer(1, 10), text(2, 'cupel'), bytes(7, graphProto), opset('', 21), opset('com.microsoft', 1)]);
}
