// The loss of a language model: negative log likelihood of target tokens, from logits.
import { require } from '../dims.ts';
import type { OpRecord } from '../op.ts';
import { mapRows } from './softmax.ts';

export const crossEntropy: OpRecord<'crossEntropy'> = {
  shape: (inputs) => {
    const [logits, targets] = inputs;
    const fit = inputs.length === 2 && logits.shape.length === 2 && targets.dtype === 'int64';
    require(fit && targets.shape[0] === logits.shape[0], 'crossEntropy', inputs, 'logits [A,V] and int64 targets [A]');
    return [
      { dtype: 'float32', shape: targets.shape },
      { dtype: 'float32', shape: logits.shape },
    ];
  },
  gradient: (g, { inputs: [, targets], outputs: [, logp] }, [dLoss]) => [
    g.emit('crossEntropyGradient', [logp, targets, dLoss!], {})[0],
    null,
  ],
  onnx: ({ inputs: [logits, targets], outputs: [loss, logp] }, w) => {
    const [index, picked, flat] = Array.from({ length: 3 }, () => w.temporary());
    w.node('LogSoftmax', [logits.name], [logp.name], { axis: { int: -1 } });
    w.node('Unsqueeze', [targets.name, w.int64([-1])], [index]);
    w.node('GatherElements', [logp.name, index], [picked], { axis: { int: 1 } });
    w.node('Squeeze', [picked, w.int64([-1])], [flat]);
    w.node('Neg', [flat], [loss.name]);
  },
  reference: ([logits, targets]) => {
    const logp = mapRows(logits, (row) => {
      const largest = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
      const total = Math.log(row.reduce((sum, x) => sum + Math.exp(x - largest), 0)) + largest;
      return row.map((x) => x - total);
    });
    const width = logits.shape[1];
    const loss = targets.data.map((target, row) => -logp.data[row * width + target]);
    return [{ shape: targets.shape, data: loss }, logp];
  },
};

/** (log probabilities [A,V], targets [A], dLoss [A]): dLoss * (probabilities - one-hot targets). */
export const crossEntropyGradient: OpRecord<'crossEntropyGradient'> = {
  shape: ([logp]) => [{ dtype: 'float32', shape: logp.shape }],
  gradient: null,
  onnx: ({ inputs: [logp, targets, dLoss], outputs: [dLogits] }, w) => {
    const [p, column, weighted, index, negative] = Array.from({ length: 5 }, () => w.temporary());
    w.node('Exp', [logp.name], [p]);
    w.node('Unsqueeze', [dLoss.name, w.int64([-1])], [column]);
    w.node('Mul', [p, column], [weighted]);
    w.node('Unsqueeze', [targets.name, w.int64([-1])], [index]);
    w.node('Neg', [column], [negative]);
    w.node('ScatterElements', [weighted, index, negative], [dLogits.name], {
      axis: { int: 1 },
      reduction: { string: 'add' },
    });
  },
  reference: ([logp, targets, dLoss]) => [
    mapRows(logp, (row, i) => row.map((x, k) => dLoss.data[i] * (Math.exp(x) - Number(k === targets.data[i])))),
  ],
};
