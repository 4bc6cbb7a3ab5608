// The loss over the vocabulary on a tape: from logits, or a part of the words at a time.
import type { Lower } from './lowering.ts';
import { product } from './product.ts';
import { placeOf, sliced, transposed, type View } from './view.ts';

export const crossEntropy: Lower<'crossEntropy'> = (l, { inputs, outputs }) => {
  const [logits, targets] = inputs.map((input) => l.dense(l.view(input)));
  const [loss, logp] = outputs.map((output) => placeOf(l.result(output)));
  l.add('crossEntropy', logits.shape[0], {
    3: loss,
    5: logp,
    7: placeOf(logits),
    9: placeOf(targets),
    11: logits.shape[1],
  });
};

export const crossEntropyGradient: Lower<'crossEntropyGradient'> = (l, { inputs, outputs: [y] }) => {
  const [logp, targets, dLoss] = inputs.map((input) => l.dense(l.view(input)));
  const [out, from, index, by] = [l.result(y), logp, targets, dLoss].map(placeOf);
  l.add('crossEntropyGradient', logp.shape[0], { 3: out, 5: from, 7: index, 9: by, 11: logp.shape[1] });
};

/** Words of a table that make a part's logits, and where they begin. */
function* parts(table: View, part: number): Generator<{ words: View; first: number }> {
  const count = table.shape[0];
  for (let first = 0; first < count; first += part)
    yield { words: sliced(table, 0, first, Math.min(part, count - first)), first };
}

export const linearCrossEntropy: Lower<'linearCrossEntropy'> = (l, node) => {
  const [hidden, table] = node.inputs.map((input) => l.view(input));
  const targets = placeOf(l.dense(l.view(node.inputs[2])));
  const [loss, total, best] = node.outputs.map((output) => l.result(output));
  const rows = hidden.shape[0];
  const state = l.fresh('float32', [rows, 3]);
  for (const { words, first } of parts(table, node.attributes.part)) {
    const logits = l.fresh('float32', [rows, words.shape[0]]);
    product(l, logits, hidden, transposed(words), 1);
    const place = placeOf(logits);
    l.add('lossPart', rows, {
      3: placeOf(state),
      5: place,
      7: targets,
      9: words.shape[0],
      10: first,
      11: node.attributes.softCap ?? 0,
    });
  }
  l.add('lossEnd', rows, { 3: placeOf(loss), 5: placeOf(total), 7: placeOf(best), 9: placeOf(state) });
};

export const linearCrossEntropyGradient: Lower<'linearCrossEntropyGradient'> = (l, node) => {
  const [hidden, table] = node.inputs.map((input) => l.view(input));
  const [targets, total, dLoss] = node.inputs.slice(2).map((input) => placeOf(l.dense(l.view(input))));
  const [dHidden, dTable] = node.outputs.map((output) => l.result(output));
  const rows = hidden.shape[0];
  let sum: View | null = null;
  for (const { words, first } of parts(table, node.attributes.part)) {
    const count = words.shape[0];
    const logits = l.fresh('float32', [rows, count]);
    product(l, logits, hidden, transposed(words), 1);
    const cap = node.attributes.softCap ?? 0;
    l.add('lossGradientPart', rows, {
      3: placeOf(logits),
      5: targets,
      7: total,
      9: dLoss,
      11: count,
      12: first,
      13: cap,
    });
    const last = first + count === table.shape[0];
    const next: View = last ? dHidden : l.fresh('float32', dHidden.shape);
    product(l, next, logits, words, 1);
    if (sum) {
      const op = l.ops[l.ops.length - 1];
      op.fields = { ...op.fields, 2: true, 9: placeOf(sum), 21: hidden.shape[1] };
    }
    sum = next;
    if (dTable) product(l, sliced(dTable, 0, first, count), transposed(logits), hidden, 1);
  }
};
