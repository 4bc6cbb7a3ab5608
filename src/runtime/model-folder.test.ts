import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Builder } from '../graph/builder.ts';
import { float32, floats } from '../graph/tensor.ts';
import { ModelFolder } from './model-folder.ts';
import { openOnnx } from './onnx.ts';

test('a constant of two models is read and kept once, and nothing stays when the folder is closed', async () => {
  const parent = mkdtempSync(join(tmpdir(), 'cupel-models-'));
  let reads = 0;
  const size = 1000;
  const graphOf = (factor: number) => {
    const b = new Builder();
    const w = b.constant('w', 'float32', [size], () => {
      reads++;
      return Float32Array.from({ length: size }, (_, i) => i);
    });
    b.output('y', b.scale(b.add(b.input('x', 'float32', [size]), w), factor));
    return b.graph();
  };
  const models = new ModelFolder(parent);
  const sessions = [await openOnnx(graphOf(1), { models }), await openOnnx(graphOf(3), { models })];
  expect(reads).toBe(1);
  const x = float32([size], new Float32Array(size).fill(1));
  const results = await Promise.all(sessions.map((session) => session.run({ x })));
  expect(results.map(({ y }) => floats(y)[7])).toEqual([8, 24]);
  const [folder] = readdirSync(parent);
  expect(readdirSync(join(parent, folder))).toHaveLength(3);
  for (const session of sessions) await session.close();
  expect(readdirSync(join(parent, folder))).toEqual(['constants.bin']);
  models.close();
  expect(existsSync(join(parent, folder))).toBe(false);
  rmSync(parent, { recursive: true });
});
