// Compiles native/*.c to the library that comes with the package: npm run native. Needs gcc on Linux, on x64.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const folder = new URL('../native/', import.meta.url);
const PROCESSOR = [
  '-march=x86-64-v4',
  '-mavx512bf16',
  '-mavx512vnni',
  '-mamx-tile',
  '-mamx-bf16',
  '-mamx-int8',
  '-mprefer-vector-width=512',
];
/** Every rounding is the source's own: no product and sum become one unless it says so. */
const NUMBERS = ['-fno-math-errno', '-ffp-contract=off'];
const SHAPE = ['-shared', '-fPIC', '-nostdlib', '-ffreestanding', '-fno-stack-protector', '-s', '-Wl,--build-id=none'];

function sources(): string[] {
  return readdirSync(folder)
    .filter((name) => /\.[ch]$/.test(name))
    .sort();
}

/** SHA-256 of all sources, in the order of their names: what the library says that it was made of. */
export function sourceHash(): string {
  const hash = createHash('sha256');
  for (const name of sources()) hash.update(readFileSync(new URL(name, folder)));
  return hash.digest('hex');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const files = sources().filter((name) => name.endsWith('.c'));
  const warnings = ['-Wall', '-Wextra', '-Werror'];
  const source = `-DSOURCE="${sourceHash()}"`;
  const flags = ['-O3', '-std=gnu17', ...warnings, ...PROCESSOR, ...NUMBERS, ...SHAPE, source];
  execFileSync('gcc', [...flags, '-o', 'linux-x64.so', ...files], { cwd: folder, stdio: 'inherit' });
}
