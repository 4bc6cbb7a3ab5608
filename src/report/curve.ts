// The loss curve of a training artifact: any of its JSON lines files whose rows have a step and a loss.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Artifact } from '../artifacts/store.ts';
import { readJsonl } from '../base/jsonl.ts';
import type { Series } from './html/charts.ts';

const Row = z.looseObject({
  step: z.number(),
  loss: z.number().nullish(),
  validationLoss: z.number().nullish(),
});

/** Training and validation loss over steps; empty when the artifact keeps none. */
export async function lossCurve(artifact: Artifact | undefined): Promise<Series[]> {
  const names = Object.keys(artifact?.manifest.files ?? {}).filter((name) => name.endsWith('.jsonl'));
  for (const name of names) {
    const file = join(artifact!.path, name);
    if (!existsSync(file)) continue;
    const rows = (await readJsonl<unknown>(file)).map((row) => Row.safeParse(row));
    const good = rows.flatMap((row) => (row.success ? [row.data] : []));
    const training = good.flatMap(({ step, loss }) => (typeof loss === 'number' ? [{ x: step, y: loss }] : []));
    if (training.length === 0) continue;
    const validation = good.flatMap(({ step, validationLoss: y }) => (typeof y === 'number' ? [{ x: step, y }] : []));
    return [
      { name: 'training', tone: 'a', points: training },
      ...(validation.length > 0 ? [{ name: 'validation', tone: 'b', points: validation, dots: true } as const] : []),
    ];
  }
  return [];
}
