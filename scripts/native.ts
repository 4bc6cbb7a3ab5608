// Compiles native/*.c to the library that comes with the package: tsx scripts/native.ts [FILE]. Needs gcc; the result depends on its version.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const FOLDER = join(import.meta.dirname, '..', 'native');
const names = readdirSync(FOLDER)
  .filter((name) => /\.[ch]$/.test(name))
  .sort();
const source = createHash('sha256');
for (const name of names) source.update(readFileSync(join(FOLDER, name)));
const out = process.argv[2] ?? join(FOLDER, 'linux-x64.so');
const processor = ['-march=x86-64-v4', '-mavx512bf16', '-mamx-tile', '-mamx-bf16', '-mprefer-vector-width=512'];
const shape = [
  '-shared',
  '-fPIC',
  '-nostdlib',
  '-ffreestanding',
  '-fno-stack-protector',
  '-fno-math-errno',
  '-ffp-contract=off',
  '-s',
];
execFileSync(
  'gcc',
  [
    ...['-O3', '-std=gnu17', '-Wall', '-Wextra', '-Werror', ...processor, ...shape, '-Wl,--build-id=none'],
    `-DSOURCE="${source.digest('hex')}"`,
    ...['-o', out, ...names.filter((name) => name.endsWith('.c'))],
  ],
  { cwd: FOLDER, stdio: 'inherit' },
);
