// Merges a LoRA adapter into its base: W + alpha / rank * B A, computed for the rows that are asked for.
import { CupelError } from '../base/errors.ts';
import type { AdapterPair, PeftAdapter } from '../formats/peft.ts';
import type { WeightSource } from '../formats/weights.ts';

/** The base's weights with the adapter added; closing it closes the base's. @throws CupelError when the adapter does not fit */
export function mergeAdapter(base: WeightSource, adapter: PeftAdapter): WeightSource {
  const scale = adapter.alpha / adapter.rank;
  const pairs = new Map([...adapter.pairs].map(([module, pair]) => [`${module}.weight`, pair]));
  const names = new Set(base.names());
  for (const [name, pair] of pairs) checkFit(base, names, name, pair);
  const readRows = (name: string, from: number, count: number): Float32Array => {
    const values = base.readRows(name, from, count);
    const pair = pairs.get(name);
    if (pair) addDelta(values, pair, adapter.rank, scale, from);
    return values;
  };
  return {
    names: () => base.names(),
    shape: (name) => base.shape(name),
    read: (name) => (pairs.has(name) ? readRows(name, 0, base.shape(name)[0]) : base.read(name)),
    readRows,
    close: () => base.close(),
  };
}

/** `values` are rows of W from row `from` on. */
function addDelta(values: Float32Array, { A, B, inputs }: AdapterPair, rank: number, scale: number, from: number) {
  for (let n = 0; n < values.length / inputs; n++) {
    for (let r = 0; r < rank; r++) {
      const factor = scale * B[(from + n) * rank + r];
      if (factor === 0) continue;
      for (let k = 0; k < inputs; k++) values[n * inputs + k] += factor * A[r * inputs + k];
    }
  }
}

function checkFit(base: WeightSource, names: ReadonlySet<string>, name: string, { inputs, outputs }: AdapterPair) {
  const remedy = 'give the base that the adapter was trained on';
  if (!names.has(name)) {
    const field = name.replace(/\.weight$/, '');
    throw new CupelError('the base model has no such module', { place: { field }, remedy });
  }
  const shape = base.shape(name);
  if (shape.length === 2 && shape[0] === outputs && shape[1] === inputs) return;
  throw new CupelError(`the adapter has shape [${outputs},${inputs}], the model [${shape}]`, {
    place: { field: name },
    remedy,
  });
}
