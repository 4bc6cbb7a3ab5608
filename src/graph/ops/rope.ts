// Rotary position embedding: pairs of features turn by an angle that grows with the position.
import { require } from '../dims.ts';
import type { OpRecord } from '../op.ts';
import type { Doubles } from '../tensor.ts';

/** The pairs are (i, i + d/2) as in Hugging Face, or neighbours when interleaved. Its gradient turns the other way. */
export const rope: OpRecord<'rope'> = {
  shape: (inputs) => {
    const [x, positions, cos, sin] = inputs;
    const fit = inputs.length === 4 && x.shape.length === 4 && positions.dtype === 'int64' && cos.shape.length === 2;
    const width = x.shape[3];
    const halves = typeof width === 'number' && cos.shape[1] === width / 2 && sin.shape[1] === width / 2;
    require(fit && halves, 'rope', inputs, 'x [B,H,S,d], positions [B,S] int64, cos and sin [P,d/2]');
    return [{ dtype: 'float32', shape: x.shape }];
  },
  gradient: (g, { inputs: [, positions, cos, sin], attributes: { interleaved, inverse } }, [dy]) => [
    g.emit('rope', [dy!, positions, cos, sin], { interleaved, inverse: !inverse })[0],
    null,
    null,
    null,
  ],
  onnx: ({ inputs: [x, positions, cos, sin], outputs: [y], attributes }, w) => {
    const turned = attributes.inverse ? w.temporary() : sin.name;
    if (attributes.inverse) w.node('Neg', [sin.name], [turned]);
    w.node(
      'RotaryEmbedding',
      [x.name, positions.name, cos.name, turned],
      [y.name],
      { interleaved: { int: Number(attributes.interleaved) } },
      'com.microsoft',
    );
  },
  reference: ([x, positions, cos, sin], attributes) => [turn(x, positions, cos, sin, attributes)],
};

function turn(
  x: Doubles,
  positions: Doubles,
  cos: Doubles,
  sin: Doubles,
  { interleaved, inverse }: { interleaved: boolean; inverse: boolean },
): Doubles {
  const [, heads, rows, width] = x.shape;
  const half = width / 2;
  const data = new Float64Array(x.data.length);
  for (let start = 0; start < data.length; start += width) {
    const row = start / width;
    const token = Math.floor(row / (heads * rows)) * rows + (row % rows);
    const at = positions.data[token] * half;
    for (let i = 0; i < half; i++) {
      const first = start + (interleaved ? 2 * i : i);
      const second = interleaved ? first + 1 : first + half;
      const [c, s] = [cos.data[at + i], inverse ? -sin.data[at + i] : sin.data[at + i]];
      data[first] = x.data[first] * c - x.data[second] * s;
      data[second] = x.data[second] * c + x.data[first] * s;
    }
  }
  return { shape: x.shape, data };
}
