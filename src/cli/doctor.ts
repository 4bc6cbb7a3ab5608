// `cupel doctor`: what this machine can do, and what is missing.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import type { Command } from 'commander';
import { thisMachine } from '../artifacts/store.ts';
import { formatBytes } from '../base/duration.ts';
import { freeDiskBytes, type Gpu, gpus, instructionSets, memory } from './machine.ts';
import { measureMatrixSpeed } from './matrix-speed.ts';
import { print } from './session.ts';
import { formatTable } from './table.ts';

interface Finding {
  name: string;
  value: string;
  ok: boolean;
  remedy?: string;
}

/** Memory below which training the default student does not fit. */
const LEAST_MEMORY = 3e9;
const LEAST_DISK = 3e9;

export function register(program: Command): void {
  program
    .command('doctor')
    .description('what this machine can do: cores, instruction sets, memory, GPU, matrix speed; what is missing')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  cupel doctor --json')
    .action(async ({ json }: { json?: boolean }) => {
      const found = await examine();
      print(json ?? false, found, () =>
        formatTable(
          found.map(({ name, value, ok, remedy }) => [ok ? 'ok' : '--', name, remedy ? `${value} (${remedy})` : value]),
        ),
      );
      if (found.some(({ ok, name }) => !ok && name !== 'GPU')) process.exitCode = 1;
    });
}

async function examine(): Promise<Finding[]> {
  const { cpu, cores, node, platform } = thisMachine();
  const { totalBytes, freeBytes } = memory();
  const disk = freeDiskBytes(existsSync('.') ? '.' : tmpdir());
  const speed = await measureMatrixSpeed();
  const [major, minor] = node.slice(1).split('.').map(Number);
  return [
    {
      name: 'Node',
      value: `${node} on ${platform}`,
      ok: major > 20 || (major === 20 && minor >= 19),
      remedy: undefined,
    },
    { name: 'processor', value: `${cpu}, ${cores} cores`, ok: true },
    { name: 'instruction sets', value: (await instructionSets()).join(' ') || 'unknown', ok: true },
    {
      name: 'memory',
      value: `${formatBytes(freeBytes)} free of ${formatBytes(totalBytes)}`,
      ok: freeBytes > LEAST_MEMORY,
      ...(freeBytes > LEAST_MEMORY ? {} : { remedy: 'close other programs: training the default student needs 3 GB' }),
    },
    {
      name: 'disk',
      value: `${formatBytes(disk)} free here`,
      ok: disk > LEAST_DISK,
      ...(disk > LEAST_DISK ? {} : { remedy: 'a run of the default student writes up to 3 GB' }),
    },
    { name: 'float32 products', value: `${speed.float32.toFixed(0)} GFLOP/s`, ok: true },
    { name: 'int8 products', value: `${speed.int8.toFixed(0)} GOP/s`, ok: true },
    gpuFinding(await gpus()),
  ];
}

function gpuFinding(found: Gpu[]): Finding {
  const packages = gpuPackages();
  const installed = packages.filter(isInstalled);
  if (found.length === 0) return { name: 'GPU', value: 'none found; none is needed', ok: true };
  const value = found
    .map(({ name, memoryBytes }) => (memoryBytes ? `${name}, ${formatBytes(memoryBytes)}` : name))
    .join('; ');
  if (installed.length > 0 || packages.length === 0) return { name: 'GPU', value, ok: true };
  return { name: 'GPU', value, ok: false, remedy: `to serve with it: npm install ${packages.join(' or ')}` };
}

/** Packages that add a GPU to serving on this platform; Metal is part of the base package of Apple machines. */
function gpuPackages(): string[] {
  const os = { linux: 'linux', win32: 'win' }[process.platform as string];
  return os && process.arch === 'x64' ? [`@node-llama-cpp/${os}-x64-cuda`, `@node-llama-cpp/${os}-x64-vulkan`] : [];
}

function isInstalled(name: string): boolean {
  try {
    createRequire(import.meta.url).resolve(`${name}/package.json`);
    return true;
  } catch {
    return false;
  }
}
