// What a plan runs on: memory, bandwidth and arithmetic of a device, published or measured here.
import { CupelError } from '../../base/errors.ts';
import { instructionSets } from '../../base/processor.ts';
import { DISTILL_DEFAULTS } from '../../distill/distill.ts';
import { whyNoBf16 } from '../../runtime/bf16/library.ts';
import { measureMatrixSpeed, measureOwnSpeed } from '../../runtime/matrix-speed.ts';
import { engineFor, ownPrecision } from '../engine.ts';
import { memory } from '../machine.ts';
import { measureBandwidth } from './bandwidth.ts';

export interface Device {
  name: string;
  /** Where its numbers come from. */
  source: string;
  memoryBytes: number;
  /** Bytes a second from memory. */
  bandwidth: number;
  /** Multiplications and additions a second (a fused one counts two). */
  float32: number;
  /** In 16 bits, or the best there is for 16-bit weights. */
  float16: number;
  int8: number;
  /** Shares of these that programs of the field reach; 1 where they were measured through the program itself. */
  reached: { bandwidth: number; compute: number };
  /** True for processors: Cupel trains there itself, in int8; elsewhere 16-bit weights are assumed. */
  cpu: boolean;
  /** A processor with bfloat16 instructions, where adapters are trained by OpenVINO; default false. */
  bfloat16?: boolean;
  /** Operations a second of Cupel's own kernels, where they can train every weight: products with weights, and others. */
  own?: { products: number; others: number };
}

/** Large matrix products and streams on accelerators reach about these shares of the data sheet. */
const USUAL = { bandwidth: 0.7, compute: 0.4 };

const card = (name: string, gigabytes: number, gigabytesPerSecond: number, tera: [number, number, number]): Device => ({
  name,
  source: 'data sheet, dense',
  memoryBytes: gigabytes * 1e9,
  bandwidth: gigabytesPerSecond * 1e9,
  float32: tera[0] * 1e12,
  float16: tera[1] * 1e12,
  int8: tera[2] * 1e12,
  reached: USUAL,
  cpu: false,
});

export const PRESETS: readonly Device[] = [
  card('a100-40g', 40, 1555, [19.5, 312, 624]),
  card('a100-80g', 80, 2039, [19.5, 312, 624]),
  // Ascend 910B3; the variants of the 910B differ by a fifth either way
  card('910b', 64, 1600, [78, 313, 640]),
  card('rtx-4090', 24, 1008, [82.6, 165, 661]),
  {
    name: 'laptop',
    source: 'a common one: 8 cores with AVX2, 16 GB of DDR5',
    memoryBytes: 16e9,
    bandwidth: 60e9,
    float32: 500e9,
    float16: 500e9,
    int8: 1000e9,
    reached: { bandwidth: 0.7, compute: 0.7 },
    cpu: true,
  },
];

/**
 * @param text `this`, a preset's name, or numbers: `memory=80,bandwidth=2000,flops=300` in GB, GB/s and 10^12 a second
 * @throws CupelError that lists what is possible
 */
export async function findDevice(text: string): Promise<Device> {
  if (text === 'this') return thisDevice();
  const preset = PRESETS.find(({ name }) => name === text.toLowerCase());
  if (preset) return preset;
  const fields = new Map(text.split(',').map((part) => part.split('=') as [string, string]));
  const number = (field: string) => {
    const value = Number(fields.get(field));
    if (value > 0 && Number.isFinite(value)) return value;
    throw new CupelError(`no such device: ${text}`, {
      place: { field: '--device' },
      remedy: `give this, ${PRESETS.map(({ name }) => name).join(', ')}, or numbers: memory=80,bandwidth=2000,flops=300`,
      exitCode: 2,
    });
  };
  const [gigabytes, speed, tera] = [number('memory'), number('bandwidth'), number('flops')];
  return { ...card(text, gigabytes, speed, [tera / 4, tera, tera * 2]), source: 'as given; flops are of 16 bits' };
}

async function thisDevice(): Promise<Device> {
  const { float32, int8 } = await measureMatrixSpeed();
  const sets = instructionSets();
  return {
    name: 'this machine',
    source: 'measured now, through the runtime that trains',
    memoryBytes: memory().totalBytes,
    bandwidth: await measureBandwidth(),
    float32: float32 * 1e9,
    float16: float32 * 1e9,
    int8: int8 * 1e9,
    reached: { bandwidth: 1, compute: 1 },
    cpu: true,
    bfloat16: engineFor(DISTILL_DEFAULTS, sets).engine === 'openvino',
    own: whyNoBf16(sets) ? undefined : await ownSpeed(ownPrecision(sets)),
  };
}

async function ownSpeed(precision: 'bf16' | 'int8'): Promise<Device['own']> {
  const others = 1e9 * (await measureOwnSpeed('bf16'));
  return { others, products: precision === 'bf16' ? others : 1e9 * (await measureOwnSpeed(precision)) };
}
