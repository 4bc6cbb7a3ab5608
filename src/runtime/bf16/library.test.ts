import { expect, test } from 'vitest';
import { instructionSets } from '../../base/processor.ts';
import { letGoOfPages } from '../mapped.ts';
import { whyNoBf16 } from './library.ts';

const able = process.platform === 'linux' && process.arch === 'x64' && instructionSets().includes('avx512_bf16');

// first of all: koffi takes no more settings once a library is there
test.skipIf(!able)('the kernels can be had after other libraries', () => {
  letGoOfPages(import.meta.filename);
  expect(whyNoBf16()).toBeUndefined();
});

test('without its instructions it is refused with the reason', () => {
  expect(whyNoBf16(['avx2'], 'linux-x64')).toMatch(/no AVX-512 with VNNI and bfloat16/);
  expect(whyNoBf16(['avx512f', 'avx512_bf16'], 'darwin-arm64')).toMatch(/for Linux on x64/);
});
