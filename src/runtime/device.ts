// Which of ONNX Runtime's providers computes: the one asked for where it works, else the processor, with the reason.
import { Builder } from '../graph/builder.ts';
import { floats } from '../graph/tensor.ts';
import { openOnnx } from './onnx.ts';

export const DEVICES = ['cpu', 'cuda', 'webgpu', 'coreml', 'directml', 'auto'] as const;
export type DeviceChoice = (typeof DEVICES)[number];
export type Device = Exclude<DeviceChoice, 'auto'>;

export interface ChosenDevice {
  readonly device: Device;
  /** Why it is not the one asked for. */
  readonly reasons: readonly string[];
}

/** What `auto` tries, best first. */
const CANDIDATES: Readonly<Record<string, readonly Device[]>> = {
  linux: ['cuda', 'webgpu'],
  win32: ['cuda', 'directml', 'webgpu'],
  darwin: ['coreml', 'webgpu'],
};

/** Tries the provider on a small product and compares the result with the processor's. Never throws: falls back to `cpu`. */
export async function chooseDevice(choice: DeviceChoice = 'cpu', tryOn = product): Promise<ChosenDevice> {
  const wanted = choice === 'auto' ? (CANDIDATES[process.platform] ?? []) : [choice];
  const reasons: string[] = [];
  for (const device of wanted) {
    if (device === 'cpu') break;
    try {
      const [there, here] = [await tryOn(device), await tryOn('cpu')];
      const off = there.some((value, i) => !(Math.abs(value - here[i]) <= 1e-2 * Math.abs(here[i]) + 1e-3));
      if (!off) return { device, reasons };
      reasons.push(`${device}: its products are wrong`);
    } catch (error) {
      reasons.push(`${device}: ${(error as Error).message.split('\n')[0]}`);
    }
  }
  return { device: 'cpu', reasons };
}

const SIZE = 64;

async function product(device: Device): Promise<Float32Array> {
  const b = new Builder();
  const x = b.input('x', 'float32', [SIZE, SIZE]);
  b.output('y', b.softmax(b.matmul(x, x, { transB: true })));
  const session = await openOnnx(b.graph(), { device });
  try {
    const data = Float32Array.from({ length: SIZE * SIZE }, (_, i) => ((i % 13) - 6) / 20);
    return floats((await session.run({ x: { dtype: 'float32', shape: [SIZE, SIZE], data } })).y).slice();
  } finally {
    await session.close();
  }
}
