// `cupel power` from outside: how many items, how likely, and what cannot be.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const BIN = fileURLToPath(new URL('../bin/cupel.mjs', import.meta.url));
const power = async (...options: string[]) =>
  JSON.parse((await promisify(execFile)(process.execPath, [BIN, 'power', '--json', ...options])).stdout) as {
    items: number | null;
    power: number;
  };

test('a faultless student needs 59 items, one at the margin more than there are', async () => {
  expect(await power('--ratio', '1', '--items', '58')).toMatchObject({ power: 0 });
  const { items } = await power('--ratio', '1');
  expect(items).toBeGreaterThanOrEqual(59);
  expect(items).toBeLessThan(70);
  expect(await power('--ratio', '0.95')).toMatchObject({ items: null });
});

test('a margin in points, and a student that cannot be', async () => {
  const { items } = await power('--teacher', '0.9', '--ratio', '1', '--gain', '0.1', '--difference', '0.03');
  expect(items).toBeGreaterThan(150);
  expect(items).toBeLessThan(350);
  await expect(power('--ratio', '1.1')).rejects.toMatchObject({ code: 2, stderr: expect.stringMatching(/--gain/) });
});
