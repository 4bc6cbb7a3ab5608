// The loss over a large vocabulary without ever holding a logit for every position and word: a part of the vocabulary at a time.
import { CupelError } from '../../base/errors.ts';
import { fixed, require } from '../dims.ts';
import type { Node, Value } from '../node.ts';
import type { OnnxWriter, OpRecord } from '../op.ts';
import type { Doubles } from '../tensor.ts';
import { multiply } from './matmul.ts';
import { mapRows } from './softmax.ts';

type Name = 'linearCrossEntropy' | 'linearCrossEntropyGradient';

function fits([hidden, table, targets]: readonly Value[]): boolean {
  const ranks = hidden.shape.length === 2 && table.shape.length === 2 && targets.shape.length === 1;
  return (
    ranks && targets.dtype === 'int64' && targets.shape[0] === hidden.shape[0] && table.shape[1] === hidden.shape[1]
  );
}

/** Online softmax (Milakov and Gimelshein, 2018): a running largest logit and a running sum of powers below it. */
export const linearCrossEntropy: OpRecord<'linearCrossEntropy'> = {
  shape: (inputs) => {
    const expected = 'hidden [A,D], table [V,D], int64 targets [A]';
    require(inputs.length === 3 && fits(inputs), 'linearCrossEntropy', inputs, expected);
    const rows = inputs[2].shape;
    return Array.from({ length: 3 }, () => ({ dtype: 'float32' as const, shape: rows }));
  },
  gradient: (g, { inputs, outputs: [, total], attributes }, [dLoss, ...others], needs) => {
    if (!dLoss || others.some(Boolean))
      throw new CupelError('a loss can depend on the first output of linearCrossEntropy only');
    const [dHidden, dTable] = g.emit('linearCrossEntropyGradient', [...inputs, total, dLoss], {
      ...attributes,
      table: needs[1],
    });
    return [dHidden, dTable ?? null, null];
  },
  onnx: (node, w) => {
    const [loss, total, best] = node.outputs;
    const index = column(w, node.inputs[2].name);
    let [largest, sum, picked] = ['', '', ''];
    for (const part of parts(node)) {
      const logits = partLogits(w, node, slice(w, node, part, sum || node.inputs[0].name));
      const own = reduce(w, 'ReduceMax', logits);
      const next = largest ? call(w, 'Max', [largest, own]) : own;
      const powers = reduce(w, 'ReduceSum', call(w, 'Exp', [call(w, 'Sub', [logits, next])]));
      const before = largest && call(w, 'Mul', [sum, call(w, 'Exp', [call(w, 'Sub', [largest, next])])]);
      sum = before ? call(w, 'Add', [before, powers]) : powers;
      const hit = pick(w, logits, index, part);
      picked = picked ? call(w, 'Add', [picked, hit]) : hit;
      largest = next;
    }
    const all = call(w, 'Add', [largest, call(w, 'Log', [sum])]);
    const squeeze = (x: string, to: string) => w.node('Squeeze', [x, w.int64([-1])], [to]);
    squeeze(call(w, 'Sub', [all, picked]), loss.name);
    squeeze(all, total.name);
    squeeze(call(w, 'Sub', [largest, all]), best.name);
  },
  reference: ([hidden, table, targets], { softCap }) => {
    const logits = capped(hidden, table, softCap);
    const width = table.shape[0];
    const rows = [...targets.data.keys()];
    const largest = rows.map((row) => Math.max(...logits.data.subarray(row * width, (row + 1) * width)));
    const total = rows.map((row) => {
      const own = logits.data.subarray(row * width, (row + 1) * width);
      return largest[row] + Math.log(own.reduce((sum, x) => sum + Math.exp(x - largest[row]), 0));
    });
    const vector = (f: (row: number) => number) => ({ shape: targets.shape, data: Float64Array.from(rows, f) });
    return [
      vector((row) => total[row] - logits.data[row * width + targets.data[row]]),
      vector((row) => total[row]),
      vector((row) => largest[row] - total[row]),
    ];
  },
};

/** Computes each part's logits again instead of keeping them. */
export const linearCrossEntropyGradient: OpRecord<'linearCrossEntropyGradient'> = {
  shape: (inputs, { table }) => {
    const expected = 'hidden [A,D], table [V,D], int64 targets [A], total [A], dLoss [A]';
    require(inputs.length === 5 && fits(inputs), 'linearCrossEntropyGradient', inputs, expected);
    return (table ? [inputs[0], inputs[1]] : [inputs[0]]).map(({ shape }) => ({ dtype: 'float32', shape }));
  },
  gradient: null,
  onnx: (node, w) => {
    const [hidden, , targets, total, dLoss] = node.inputs;
    const [index, totals, weights] = [targets, total, dLoss].map((x) => column(w, x.name));
    const negative = call(w, 'Neg', [weights]);
    const tables: string[] = [];
    let sum = '';
    for (const part of parts(node)) {
      const words = slice(w, node, part, sum || total.name);
      const logits = partLogits(w, node, words);
      const probabilities = call(w, 'Exp', [call(w, 'Sub', [logits, totals])]);
      const { inside, local } = locate(w, index, part);
      const hit = call(w, 'Mul', [negative, inside]);
      const weighted = call(w, 'Mul', [probabilities, weights]);
      const slopes = w.temporary();
      const options = { axis: { int: 1 }, reduction: { string: 'add' } };
      w.node('ScatterElements', [weighted, local, hit], [slopes], options);
      const dLogits = throughCap(w, slopes, logits, node.attributes.softCap);
      const own = call(w, 'MatMul', [dLogits, words]);
      sum = sum ? call(w, 'Add', [sum, own]) : own;
      if (!node.attributes.table) continue;
      const product = w.temporary();
      w.node('FusedMatMul', [dLogits, hidden.name], [product], { transA: { int: 1 } }, 'com.microsoft');
      tables.push(product);
    }
    w.node('Identity', [sum], [node.outputs[0].name]);
    if (node.attributes.table) w.node('Concat', tables, [node.outputs[1].name], { axis: { int: 0 } });
  },
  reference: ([hidden, table, targets, total, dLoss], { softCap, table: both }) => {
    const logits = capped(hidden, table, softCap);
    const dLogits = mapRows(logits, (row, at) =>
      row.map((x, word) => {
        const slope = dLoss.data[at] * (Math.exp(x - total.data[at]) - Number(word === targets.data[at]));
        return softCap === null ? slope : slope * (1 - (x / softCap) ** 2);
      }),
    );
    const dHidden = multiply(dLogits, table, { transA: false, transB: false, alpha: 1 });
    return both ? [dHidden, multiply(dLogits, hidden, { transA: true, transB: false, alpha: 1 })] : [dHidden];
  },
};

function capped(hidden: Doubles, table: Doubles, softCap: number | null): Doubles {
  const logits = multiply(hidden, table, { transA: false, transB: true, alpha: 1 });
  return softCap === null ? logits : { ...logits, data: logits.data.map((x) => softCap * Math.tanh(x / softCap)) };
}

interface Part {
  readonly start: number;
  readonly end: number;
}

function parts({ inputs, attributes: { part } }: Node<Name>): Part[] {
  const words = fixed(inputs[1], 0);
  return Array.from({ length: Math.ceil(words / part) }, (_, i) => ({
    start: i * part,
    end: Math.min(words, (i + 1) * part),
  }));
}

function call(w: OnnxWriter, type: string, inputs: readonly string[]): string {
  const out = w.temporary();
  w.node(type, inputs, [out]);
  return out;
}

function column(w: OnnxWriter, vector: string): string {
  return call(w, 'Unsqueeze', [vector, w.int64([-1])]);
}

function reduce(w: OnnxWriter, type: string, x: string): string {
  return call(w, type, [x, w.int64([-1])]);
}

/** Rows of the table. */
function slice(w: OnnxWriter, { inputs: [, table] }: Node<Name>, { start, end }: Part, after: string): string {
  const bound = w.reader === 'openvino' ? (at: number) => w.int64([at]) : boundsOfRun(w, after);
  return call(w, 'Slice', [table.name, bound(start), bound(end), w.int64([0])]);
}

/**
 * Bounds that depend on the size of `after`, which only the run tells: else ONNX Runtime would copy all parts when it loads, or make
 * them all before the first is used. OpenVINO is slow at such slices; what it cuts when it compiles it keeps in bfloat16.
 */
function boundsOfRun(w: OnnxWriter, after: string): (at: number) => string {
  const rows = w.temporary();
  w.node('Shape', [after], [rows], { start: { int: 0 }, end: { int: 1 } });
  const nothing = call(w, 'Sub', [rows, rows]);
  return (at) => call(w, 'Add', [nothing, w.int64([at])]);
}

function partLogits(w: OnnxWriter, node: Node<Name>, words: string): string {
  const { softCap } = node.attributes;
  const logits = w.temporary();
  const alpha = softCap === null ? 1 : 1 / softCap;
  const options = { transB: { int: 1 }, alpha: { float: alpha } };
  w.node('FusedMatMul', [node.inputs[0].name, words], [logits], options, 'com.microsoft');
  return softCap === null ? logits : call(w, 'Mul', [call(w, 'Tanh', [logits]), w.float32([softCap], [])]);
}

/** slope * (1 - (logit / cap)^2) */
function throughCap(w: OnnxWriter, slopes: string, logits: string, softCap: number | null): string {
  if (softCap === null) return slopes;
  const square = call(w, 'Mul', [logits, logits]);
  const lost = call(w, 'Mul', [square, w.float32([softCap ** -2], [])]);
  return call(w, 'Mul', [slopes, call(w, 'Sub', [w.float32([1], []), lost])]);
}

/** Where targets [A,1] stand in a part, and 1 where they do; those outside point at some word of it and get 0. */
function locate(w: OnnxWriter, index: string, { start, end }: Part): { inside: string; local: string } {
  const last = end - start - 1;
  const shifted = call(w, 'Sub', [index, w.int64([start], [])]);
  const local = call(w, 'Clip', [shifted, w.int64([0], []), w.int64([last], [])]);
  const inside = w.temporary();
  w.node('Cast', [call(w, 'Equal', [shifted, local])], [inside], { to: { int: 1 } });
  return { inside, local };
}

/** The targets' logits, or zero for targets in other parts. */
function pick(w: OnnxWriter, logits: string, index: string, part: Part): string {
  const { inside, local } = locate(w, index, part);
  const picked = w.temporary();
  w.node('GatherElements', [logits, local], [picked], { axis: { int: 1 } });
  return call(w, 'Mul', [picked, inside]);
}
