// What the processor computes by instructions of its own.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

const INTERESTING = [
  'sse4_2', 'avx', 'f16c', 'fma', 'avx2', 'avx_vnni', 'avx512f', 'avx512_vnni', 'avx512_bf16', 'amx_tile', 'amx_int8', 'amx_bf16',
  'asimd', 'asimddp', 'i8mm', 'sve', 'bf16',
]; // biome-ignore format: one list

/** Instruction sets that matter for matrix products, as the kernel names them; empty where the system does not tell. */
export function instructionSets(): string[] {
  if (existsSync('/proc/cpuinfo')) {
    const line = readFileSync('/proc/cpuinfo', 'utf8').match(/^(?:flags|Features)\s*:(.*)$/m)?.[1] ?? '';
    const flags = new Set(line.trim().split(/\s+/));
    return INTERESTING.filter((name) => flags.has(name));
  }
  if (process.platform === 'darwin') {
    const { stdout } = spawnSync('sysctl', ['-a', 'hw.optional'], { encoding: 'utf8', timeout: 5_000 });
    return [...(stdout ?? '').matchAll(/^hw\.optional\.(?:arm\.)?(\w+): 1$/gm)].map((match) => match[1]);
  }
  return [];
}

/** Where bfloat16 has instructions; elsewhere it takes ten times as long as float32. */
export function computesBfloat16(sets: readonly string[]): boolean {
  return sets.includes('avx512_bf16') || sets.includes('amx_bf16');
}
