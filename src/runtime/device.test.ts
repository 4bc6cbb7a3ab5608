import { expect, test } from 'vitest';
import { chooseDevice } from './device.ts';

test('the processor needs no trial', async () => {
  const never = () => Promise.reject(new Error('not to be tried'));
  expect(await chooseDevice('cpu', never)).toEqual({ device: 'cpu', reasons: [] });
});

test('a provider that works and agrees is taken', async () => {
  expect(await chooseDevice('cuda', () => Promise.resolve(Float32Array.of(1, 2)))).toEqual({
    device: 'cuda',
    reasons: [],
  });
});

test('one that fails, or computes something else, is passed over with the reason', async () => {
  const wrong = (device: string) => Promise.resolve(Float32Array.of(device === 'cpu' ? 1 : Number.NaN));
  expect(await chooseDevice('webgpu', wrong)).toEqual({ device: 'cpu', reasons: ['webgpu: its products are wrong'] });
  const absent = () => Promise.reject(new Error('no such library\nand more'));
  expect(await chooseDevice('directml', absent)).toEqual({ device: 'cpu', reasons: ['directml: no such library'] });
});

test('auto ends with a device that computes', async () => {
  const { device, reasons } = await chooseDevice('auto');
  expect(device === 'cpu' ? reasons.length : 1).toBeGreaterThan(0);
});
