// From a graph to a tape: what ops share that put their kernels on it.
import { CupelError } from '../../base/errors.ts';
import { axisOf } from '../../graph/dims.ts';
import type { DType, Graph, Shape, Value } from '../../graph/node.ts';
import { bytesOf, sizeOf } from '../../graph/tensor.ts';
import { sizesOf } from '../feeds.ts';
import type { Step } from './fuse.ts';
import type { Buffer } from './memory.ts';
import type { Fields, KernelName, Place, TapeOp } from './tape.ts';
import { Tiles } from './tiles.ts';
import { isAll, isDense, joined, permuted, placeOf, reshaped, sliced, type View, wholeOf } from './view.ts';

/** Numbers that one item of a kernel works on, about: enough to be worth the counter that it is taken from. */
const ITEM = 16_384;
/** Of the kernels that go through arrays of any shape. */
const AXES = 5;
export class Lowering {
  readonly ops: TapeOp[] = [];
  readonly #symbols: ReadonlyMap<string, number>;
  readonly #uses = new Map<string, number>();
  readonly #views = new Map<string, View>();
  readonly #made = new Map<string, Place>();
  readonly tiles: Tiles;
  /** Buffers that several values or an output read. */
  readonly #shared = new Set<Buffer>();
  /** The last op that reads or writes a buffer. */
  readonly #touched = new Map<Buffer, number>();

  /** Values that are parts of a concatenation, made where they shall be. */
  readonly #parts = new Map<string, { of: Value; axis: number; start: number }>();
  /** Values that only gated feed-forward steps read. */
  readonly #gated: ReadonlySet<string>;
  /** Buffers of numbers in bfloat16. */
  readonly #halves = new Set<Buffer>();
  readonly #left = new Set<TapeOp>();
  /** The logs of attention's row sums, by the names of the probabilities. */
  readonly logs = new Map<string, View>();

  constructor(steps: readonly Step[], outputs: Graph['outputs'], symbols: ReadonlyMap<string, number>) {
    this.#symbols = symbols;
    const narrow = (step: Step) => step.op === 'matmul' && (step as Step<'matmul'>).attributes.narrow === 'all';
    this.tiles = new Tiles(this, steps.some(narrow));
    const use = ({ name }: Value) => this.#uses.set(name, (this.#uses.get(name) ?? 0) + 1);
    for (const step of steps) for (const input of step.inputs) use(input);
    // once more, so that nobody changes what goes out
    for (const value of outputs.values()) for (let i = 0; i < 2; i++) use(value);
    const others = new Set(steps.flatMap(({ op, inputs }) => (isGated(op) ? [] : inputs.map(({ name }) => name))));
    for (const { name } of outputs.values()) others.add(name);
    const read = steps.flatMap(({ op, inputs }) => (isGated(op) ? inputs.map(({ name }) => name) : []));
    this.#gated = new Set(read.filter((name) => !others.has(name)));
    const made = ['attention', 'attentionGradient'];
    const attended = new Set(steps.flatMap(({ op, outputs: [o] }) => (made.includes(op) ? [o.name] : [])));
    for (const {
      op,
      inputs,
      outputs: [whole],
      attributes,
    } of steps) {
      if (op !== 'concat') continue;
      const axis = axisOf((attributes as { axis: number }).axis, whole.shape.length);
      let start = 0;
      for (const input of inputs) {
        if (attended.has(input.name) && !this.#parts.has(input.name))
          this.#parts.set(input.name, { of: whole, axis, start });
        start += this.sizes(input.shape)[axis];
      }
    }
  }

  sizes(shape: Shape): readonly number[] {
    return sizesOf(shape, this.#symbols);
  }

  bind({ name }: Value, view: View): void {
    this.#views.set(name, view);
    if (this.#uses.get(name) !== 1) this.#shared.add(view.buffer);
  }

  /** Whether anything reads this value. */
  wanted({ name }: Value): boolean {
    return this.#uses.has(name);
  }

  view({ name }: Value): View {
    return this.#views.get(name)!;
  }

  /** New memory for a result. */
  fresh(dtype: DType, shape: readonly number[]): View {
    return wholeOf({ bytes: sizeOf(shape) * bytesOf(dtype), slot: null }, dtype, shape);
  }

  /** Whether a value is made where a concatenation has it: this one, or any. */
  isPart({ name }: Value, of?: Value): boolean {
    const part = this.#parts.get(name);
    return part !== undefined && (of === undefined || part.of.name === of.name);
  }

  /** New memory for heads [B,H,S,d], a token's beside each other: joining them moves nothing. */
  heads(value: Value): View {
    const [B, H, S, d] = this.sizes(value.shape);
    const view = permuted(this.fresh(value.dtype, [B, S, H, d]), [0, 2, 1, 3]);
    this.bind(value, view);
    return view;
  }

  /** As `heads`, but in place where the value is part of another. */
  part(value: Value): View {
    const part = this.#parts.get(value.name);
    if (!part) return this.heads(value);
    const whole = this.#views.get(part.of.name) ?? this.heads(part.of);
    const view = sliced(whole, part.axis, part.start, this.sizes(value.shape)[part.axis]);
    this.bind(value, view);
    return view;
  }

  /** New memory for a node's output, bound to it. */
  result(value: Value): View {
    const view = this.fresh(value.dtype, this.sizes(value.shape));
    this.bind(value, view);
    return view;
  }

  add(kernel: KernelName, items: number, fields: Fields): TapeOp {
    const op = { kernel, items, fields };
    this.ops.push(op);
    for (const field of Object.values(fields))
      if (typeof field === 'object') this.#touched.set(field.buffer, this.ops.length - 1);
    return op;
  }

  /** Has products write values in bfloat16 that no other op reads than those which know it: all of them or none. */
  halve(values: readonly Value[]): boolean {
    const views = values.map((value) => this.view(value));
    if (views.every(({ buffer }) => this.#halves.has(buffer))) return true;
    const ops = views.map(({ buffer }) => this.ops[this.#touched.get(buffer) ?? -1]);
    const fits = (op: TapeOp | undefined) =>
      op?.kernel === 'product' && !op.fields[2] && !op.fields[19] && !op.fields[20];
    const inner =
      values.every(({ name }) => this.#gated.has(name)) && views.every(({ buffer }) => buffer.slot === null);
    if (!inner || !ops.every(fits)) return false;
    for (const [i, op] of ops.entries()) {
      op.fields = { ...op.fields, 25: true };
      views[i].buffer.bytes /= 2;
      this.#halves.add(views[i].buffer);
    }
    return true;
  }

  /** All ops, when every node has been lowered. */
  finish(): readonly TapeOp[] {
    const read = new Map<Buffer, number>();
    for (const { fields } of this.ops)
      for (const field of Object.values(fields))
        if (typeof field === 'object') read.set(field.buffer, (read.get(field.buffer) ?? 0) + 1);
    this.tiles.leaveOut((buffer) => read.get(buffer) === 1);
    return this.ops.filter((op) => !this.#left.has(op));
  }

  /** The op that made all of a buffer, which one value alone reads, so that what follows may become part of it; else undefined. */
  maker(view: View, ...kernels: readonly KernelName[]): TapeOp | undefined {
    if (this.#shared.has(view.buffer) || view.buffer.slot !== null || !isDense(view)) return undefined;
    const op = this.ops[this.#touched.get(view.buffer) ?? -1];
    return op && kernels.includes(op.kernel) && isAll(view) ? op : undefined;
  }

  /** Takes back an op whose result nobody reads any more. */
  leaveOut(op: TapeOp): void {
    this.#left.add(op);
  }

  /** Whether a view is there when an op runs. */
  isBefore({ buffer }: View, op: TapeOp): boolean {
    const last = this.#touched.get(buffer);
    return last === undefined || last < this.ops.indexOf(op);
  }

  /** The same entries in order without gaps. */
  dense(view: View): View {
    if (isDense(view)) return view;
    const copy = this.fresh(view.dtype, view.shape);
    this.copy(view, copy);
    return copy;
  }

  /** The same entries, those of the last axis beside each other. */
  inLines(view: View): View {
    return view.strides.at(-1) === 1 ? view : this.dense(view);
  }

  /** The same entries under another shape: where they are, or moved where that cannot be. */
  reshaped(view: View, shape: readonly number[]): View {
    return reshaped(view, shape) ?? reshaped(this.dense(view), shape)!;
  }

  /** As many entries from one view to the other. */
  copy(from: View, to: View): void {
    const { shape, strides } = joined(to.shape, from.strides, to.strides);
    const axes = fiveAxes(shape, strides, to);
    const rows = sizeOf(axes.shape.slice(0, 4));
    // long lines are cut, so that every thread has some
    if (rows === 1 && axes.shape[4] > 2 * ITEM && axes.shape[4] % ITEM === 0) {
      axes.shape.splice(3, 2, axes.shape[4] / ITEM, ITEM);
      for (const own of axes.strides) own.splice(3, 2, own[4] * ITEM, own[4]);
    }
    const lines = sizeOf(axes.shape.slice(0, 4));
    const each = Math.max(1, Math.floor(ITEM / axes.shape[4]));
    this.add('copy', Math.ceil(lines / each), {
      2: bytesOf(to.dtype),
      3: placeOf(to),
      5: placeOf(from),
      ...listed(10, axes.shape),
      ...listed(15, axes.strides[0]),
      ...listed(20, axes.strides[1]),
      25: each,
    });
  }

  /** out = f(a, b) in float32, entry by entry; a and b have its shape. */
  map(which: number, out: View, a: View, b: View, by = 0): void {
    const { shape, strides } = joined(out.shape, a.strides, b.strides);
    const axes = fiveAxes(shape, strides, out);
    const width = axes.shape[4];
    const rows = sizeOf(axes.shape.slice(0, 4));
    const cuts = Math.ceil(width / ITEM);
    const each = cuts > 1 ? 1 : Math.max(1, Math.floor(ITEM / width));
    this.add('map', Math.ceil(rows / each) * cuts, {
      2: which,
      3: placeOf(out),
      5: placeOf(a),
      7: placeOf(b),
      9: by,
      ...listed(10, axes.shape),
      ...listed(15, axes.strides[0]),
      ...listed(20, axes.strides[1]),
      25: each,
      26: cuts > 1 ? ITEM : width,
      27: cuts,
    });
  }

  /** Entry by entry whatever the types: masks, and the whole numbers they are made of. */
  any(which: number, out: View, a: View, b = a, c = a): void {
    const { shape, strides } = joined(out.shape, a.strides, b.strides, c.strides);
    const axes = fiveAxes(shape, strides, out);
    const rows = sizeOf(axes.shape.slice(0, 4));
    const each = Math.max(1, Math.floor(1024 / axes.shape[4]));
    this.add('any', Math.ceil(rows / each), {
      2: which,
      3: placeOf(out),
      5: placeOf(a),
      7: placeOf(b),
      35: placeOf(c),
      ...listed(10, axes.shape),
      ...listed(15, axes.strides[0]),
      ...listed(20, axes.strides[1]),
      ...listed(25, axes.strides[2]),
      ...listed(
        30,
        [out, a, b, c].map(({ dtype }) => ANY_TYPES.indexOf(dtype)),
      ),
      34: each,
    });
  }

  /** One number: the sum of the squares of all entries. Products add up those of what they write. */
  sumOfSquares(out: View, views: readonly View[]): void {
    const sums: Buffer = { bytes: 0, slot: null };
    const room = (items: number): Place => {
      const place = { buffer: sums, offset: sums.bytes };
      sums.bytes += 8 * items;
      return place;
    };
    for (const view of views) {
      const size = sizeOf(view.shape);
      const maker = this.ops[this.#touched.get(view.buffer) ?? -1];
      if (maker?.kernel === 'product' && isAll(view) && !this.#halves.has(view.buffer)) {
        maker.fields = { ...maker.fields, 26: true, 27: room(maker.items) };
        continue;
      }
      const items = Math.ceil(size / (4 * ITEM));
      this.add('sumSquares', items, { 3: room(items), 5: placeOf(this.dense(view)), 7: size, 8: 4 * ITEM });
    }
    this.add('total', 1, { 3: placeOf(out), 5: { buffer: sums, offset: 0 }, 7: sums.bytes / 8 });
  }

  /** Zeros. */
  fill(out: View): void {
    const bytes = sizeOf(out.shape) * bytesOf(out.dtype);
    const each = 2 ** 18;
    this.add('fill', Math.ceil(bytes / each), { 3: placeOf(out), 5: bytes, 6: each });
  }

  /** What is made of a view, the first time that it is asked for. */
  once(what: string, view: View, make: () => Place): Place {
    const key = `${what} ${this.#bufferId(view.buffer)} ${view.start} ${view.shape} ${view.strides}`;
    const place = this.#made.get(key) ?? make();
    this.#made.set(key, place);
    return place;
  }

  readonly #ids = new Map<Buffer, number>();
  #bufferId(buffer: Buffer): number {
    const id = this.#ids.get(buffer) ?? this.#ids.size;
    this.#ids.set(buffer, id);
    return id;
  }
}

function isGated(op: Step['op']): boolean {
  return op === 'gated' || op === 'gatedGradient';
}

export type Lower<K extends Step['op']> = (l: Lowering, step: Step<K>) => void;

/** Rows of so many numbers in an item. */
export function rowsEach(width: number): number {
  return Math.max(1, Math.floor(ITEM / 2 / width));
}

const ANY_TYPES: readonly DType[] = ['float32', 'int64', 'bool', 'int32'];

/** Consecutive fields. */
function listed(start: number, values: readonly number[]): Record<number, number> {
  return Object.fromEntries(values.map((value, i) => [start + i, value]));
}

function fiveAxes(shape: readonly number[], strides: readonly (readonly number[])[], of: View) {
  if (shape.length > AXES)
    throw new CupelError(`a tensor of shape [${of.shape}] lies in more pieces than the kernels know`);
  const missing = AXES - shape.length;
  const fill = (list: readonly number[], by: number) => [...new Array<number>(missing).fill(by), ...list];
  return { shape: fill(shape, 1), strides: strides.map((own) => fill(own, 0)) };
}
