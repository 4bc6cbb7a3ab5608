import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { hasWheel, OPENVINO } from '../catalog/library.ts';
import { DISTILL_DEFAULTS, type DistillOptions } from '../distill/distill.ts';
import { whyNoBf16 } from '../runtime/bf16/library.ts';
import { chooseEngine, engineFor } from './engine.ts';

const session = () => {
  const told: string[] = [];
  return {
    told,
    progress: ({ message }: { message?: string }) => void told.push(message ?? ''),
    signal: new AbortController().signal,
  };
};
const folder = mkdtempSync(join(tmpdir(), 'cupel-engine-'));
afterAll(() => rmSync(folder, { recursive: true }));
const nowhere = {
  CUPEL_CACHE: folder,
  PIP_NO_INDEX: '1',
  PIP_FIND_LINKS: '',
  PIP_CONFIG_FILE: folder,
};

test.skipIf(!hasWheel(OPENVINO))(
  'auto takes OpenVINO for what is trained in int8 where the processor has bfloat16',
  () => {
    const fast = ['avx2', 'avx512_bf16'];
    const engine = (more: Partial<DistillOptions>, sets = fast) =>
      engineFor({ ...DISTILL_DEFAULTS, ...more }, sets).engine;
    expect(engine({})).toBe('openvino');
    expect(engine({}, ['avx2', 'amx_bf16'])).toBe('openvino');
    expect(engine({}, ['avx2', 'avx512_vnni'])).toBe('onnxruntime');
    for (const more of [
      { precision: 'float32' },
      { precision: 'int4' },
      { device: 'cuda' },
      { ffnDensity: 0.5 },
      { layersPerStep: 4 },
    ] as const)
      expect(engine(more), JSON.stringify(more)).toBe('onnxruntime');
    expect(engine({ full: true })).toBe('openvino');
    expect(engine({ ffnDensity: 1, device: 'cpu' })).toBe('openvino');
    expect(engineFor(DISTILL_DEFAULTS, ['avx2']).reason).toMatch(/no bfloat16 instructions/);
  },
);

const FREE = { precision: false, experts: false };

test('ONNX Runtime by name asks nobody', async () => {
  const one = session();
  expect(await chooseEngine('onnxruntime', DISTILL_DEFAULTS, FREE, one)).toEqual({ options: DISTILL_DEFAULTS });
  expect(one.told).toEqual([]);
});

test.skipIf(!hasWheel(OPENVINO))(
  'auto goes on without OpenVINO where it cannot be fetched, and says why; by name that is an error',
  async () => {
    for (const [name, value] of Object.entries(nowhere)) vi.stubEnv(name, value);
    const one = session();
    const sets = ['avx512_bf16'];
    await expect(chooseEngine('openvino', DISTILL_DEFAULTS, FREE, one, sets)).rejects.toThrow();
    expect(await chooseEngine('auto', DISTILL_DEFAULTS, FREE, one, sets)).toEqual({ options: DISTILL_DEFAULTS });
    expect(one.told.at(-1)).toMatch(/^trains with ONNX Runtime, about 1\.5 times slower here: /);
    vi.unstubAllEnvs();
  },
);

test('OpenVINO by name is refused what it cannot train, before anything is fetched', async () => {
  for (const more of [{ precision: 'float32' }, { full: true, precision: 'float32' }, { ffnDensity: 0.5 }] as const)
    await expect(chooseEngine('openvino', { ...DISTILL_DEFAULTS, ...more }, FREE, session())).rejects.toThrow(
      /whole layers in int8 only/,
    );
});

describe("Cupel's own kernels", () => {
  const full = { ...DISTILL_DEFAULTS, full: true };

  test.skipIf(whyNoBf16())(
    'every weight is trained by them, in bf16 with AMX and in int8 without, unless something else was asked for',
    async () => {
      const vectors = ['avx512f', 'avx512_vnni', 'avx512_bf16'];
      const amx = [...vectors, 'amx_bf16'];
      const choose = (more: Partial<DistillOptions>, asked = FREE, sets = amx) =>
        chooseEngine('auto', { ...full, ...more }, asked, session(), sets);
      expect((await choose({})).options).toMatchObject({ engine: 'cupel', precision: 'bf16' });
      expect((await choose({}, FREE, vectors)).options).toMatchObject({ engine: 'cupel', precision: 'int8' });
      const narrow = await choose({ precision: 'int8' }, { ...FREE, precision: true });
      expect(narrow.options).toMatchObject({ engine: 'cupel', precision: 'int8' });
      const named = await choose({ precision: 'bf16' }, { ...FREE, precision: true }, vectors);
      expect(named.options).toMatchObject({ engine: 'cupel', precision: 'bf16' });
      for (const [more, asked, sets] of [
        [{ precision: 'float32' }, { ...FREE, precision: true }],
        [{ ffnDensity: 0.5 }, { ...FREE, experts: true }],
        [{ ffnDensity: 0.5 }, FREE, ['avx2']],
      ] as const)
        expect((await choose(more, asked, sets && [...sets])).options).toMatchObject({ full: true, ...more });
    },
  );

  test.each([
    [{ engine: 'cupel', precision: 'float32', full: true }, /own kernels compute in bfloat16 or int8/],
    [{ engine: 'cupel', precision: 'int8' }, /for training every weight/],
    [{ engine: 'openvino', precision: 'bf16', full: true }, /computed by Cupel's own kernels/],
    [{ engine: 'cupel', precision: 'bf16' }, /for training every weight/],
    [{ engine: 'cupel', precision: 'bf16', full: true, device: 'cuda' }, /on the processor/],
  ] as const)('%o is refused', async ({ engine, ...more }, reason) => {
    const asked = { precision: true, experts: false };
    await expect(chooseEngine(engine, { ...DISTILL_DEFAULTS, ...more }, asked, session())).rejects.toThrow(reason);
  });
});
