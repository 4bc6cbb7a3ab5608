// What a graph is made of: typed symbolic values, nodes in execution order, constants that are read only when needed.
import type { OpAttributes, OpName } from './op.ts';

/** `int4`: -8 to 7, one number an entry here, two a byte for a runtime; constants only. */
export type DType = 'float32' | 'int4' | 'int8' | 'uint8' | 'int32' | 'int64' | 'bool';

/** A size: a number, or the name of one that is known only when the graph runs, e.g. `S` or `3*S`. */
export type Dim = number | string;
export type Shape = readonly Dim[];

export interface ValueType {
  readonly dtype: DType;
  readonly shape: Shape;
}

/** A symbolic tensor. The name is unique within its graph; equal names mean the same value. */
export interface Value extends ValueType {
  readonly name: string;
}

/** One application of an op. Outputs are assigned once; a node stands after the nodes that make its inputs. */
export interface Node<K extends OpName = OpName> {
  readonly op: K;
  readonly inputs: readonly Value[];
  readonly attributes: OpAttributes[K];
  readonly outputs: readonly Value[];
}

export type TensorData = Float32Array | Int8Array | Uint8Array | Int32Array | BigInt64Array;

/** A value known when the graph is built. `read` is called at most once for each consumer that needs the bytes. */
export interface Constant {
  readonly value: Value & { readonly shape: readonly number[] };
  readonly read: () => TensorData;
}

export interface Graph {
  readonly inputs: readonly Value[];
  readonly constants: readonly Constant[];
  readonly nodes: readonly Node[];
  /** Name outside the graph -> value inside. */
  readonly outputs: ReadonlyMap<string, Value>;
}
