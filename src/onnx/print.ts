// Prints a graph as an ONNX model: each op writes its own form, large constants go to a store outside the model.
import type { Constant, Graph, TensorData, Value } from '../graph/node.ts';
import type { OnnxAttribute, OnnxReader, OnnxWriter, OpName, OpRecord } from '../graph/op.ts';
import { OPS } from '../graph/ops/table.ts';
import { bytesOf, sizeOf } from '../graph/tensor.ts';
import { externalTensorProto, modelProto, nodeProto, tensorProto, valueInfo } from './messages.ts';

/** Keeps the bytes of a large constant and says where. */
export interface ConstantStore {
  put(constant: Constant): { location: string; offset: number; length: number };
}

/** Constants up to this many bytes stand in the model itself. */
const INLINE_BYTES = 1024;

/** @param store where constants over 1 KiB go; without it they stand in the model, which must stay under 2 GiB */
export function printOnnx(graph: Graph, store?: ConstantStore, reader: OnnxReader = 'onnxruntime'): Uint8Array {
  const printer = new Printer(reader, new Set(graph.constants.map(({ value }) => value.name)));
  for (const node of graph.nodes) (OPS[node.op] as OpRecord<OpName>).onnx(node, printer);
  for (const [name, value] of graph.outputs) if (name !== value.name) printer.node('Identity', [value.name], [name]);
  return modelProto({
    nodes: printer.nodes,
    initializers: [...graph.constants.map((constant) => initializer(constant, store)), ...printer.small.values()],
    inputs: graph.inputs.map((value) => valueInfo(value.name, value)),
    outputs: [...graph.outputs].map(([name, value]) => valueInfo(name, value)),
  });
}

function initializer(constant: Constant, store: ConstantStore | undefined): Uint8Array {
  const { name, dtype, shape } = constant.value;
  if (!store || sizeOf(shape) * bytesOf(dtype) <= INLINE_BYTES) return tensorProto(name, dtype, shape, constant.read());
  return externalTensorProto(name, dtype, shape, store.put(constant));
}

class Printer implements OnnxWriter {
  readonly nodes: Uint8Array[] = [];
  readonly small = new Map<string, Uint8Array>();
  readonly reader: OnnxReader;
  readonly #constants: ReadonlySet<string>;
  #count = 0;

  constructor(reader: OnnxReader, constants: ReadonlySet<string>) {
    this.reader = reader;
    this.#constants = constants;
  }

  isConstant({ name }: Value): boolean {
    return this.#constants.has(name);
  }

  node(
    type: string,
    inputs: readonly string[],
    outputs: readonly string[],
    attributes: Readonly<Record<string, OnnxAttribute>> = {},
    domain = '',
  ): void {
    this.nodes.push(nodeProto(type, inputs, outputs, attributes, domain));
  }

  temporary(): string {
    return `tmp_${this.#count++}`;
  }

  int64(values: readonly number[], dims: readonly number[] = [values.length]): string {
    return this.#constant('int64', dims, values, BigInt64Array.from(values, BigInt));
  }

  float32(values: readonly number[], dims: readonly number[] = [values.length]): string {
    return this.#constant('float32', dims, values, Float32Array.from(values));
  }

  int8(value: number): string {
    return this.#constant('int8', [], [value], Int8Array.of(value));
  }

  #constant(
    dtype: 'int64' | 'float32' | 'int8',
    dims: readonly number[],
    values: readonly number[],
    data: TensorData,
  ): string {
    const name = `${dtype}[${dims}]=${values}`;
    if (!this.small.has(name)) this.small.set(name, tensorProto(name, dtype, dims, data));
    return name;
  }
}
