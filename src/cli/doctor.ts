// `cupel doctor`: what this machine can do, and what is missing.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import type { Command } from 'commander';
import { thisMachine } from '../artifacts/store.ts';
import { formatBytes } from '../base/duration.ts';
import { instructionSets } from '../base/processor.ts';
import { findEntry } from '../catalog/entries.ts';
import { isLibraryFetched, OPENVINO } from '../catalog/library.ts';
import { probeSources } from '../catalog/probe.ts';
import { isFetched } from '../catalog/resolve.ts';
import { DISTILL_DEFAULTS } from '../distill/distill.ts';
import { whyNoBf16 } from '../runtime/bf16/library.ts';
import { measureMatrixSpeed } from '../runtime/matrix-speed.ts';
import { engineFor, ownPrecision } from './engine.ts';
import { freeDiskBytes, type Gpu, gpus, memory } from './machine.ts';
import { print } from './session.ts';
import { DEFAULT_STUDENT } from './student.ts';
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
      const facts = await survey();
      const found = [...machineFindings(facts), gpuFinding(facts.gpus), ...weightFindings(facts)];
      print(json ?? false, { ...facts, findings: found }, () =>
        formatTable(
          found.map(({ name, value, ok, remedy }) => [ok ? 'ok' : '--', name, remedy ? `${value} (${remedy})` : value]),
        ),
      );
      if (found.some(({ ok, name }) => !ok && name !== 'GPU')) process.exitCode = 1;
    });
}

async function survey() {
  const { cpu, cores, node, platform } = thisMachine();
  const sources = probeSources();
  const sets = instructionSets();
  return {
    node,
    platform,
    cpu,
    cores,
    instructionSets: sets,
    memory: memory(),
    freeDiskBytes: freeDiskBytes(existsSync('.') ? '.' : tmpdir()),
    gpus: await gpus(),
    gpuPackages: gpuPackages(),
    matrixSpeed: await measureMatrixSpeed(),
    engine: { ...engineFor(DISTILL_DEFAULTS, sets), inCache: isLibraryFetched(OPENVINO) },
    own: { precision: ownPrecision(sets), reason: whyNoBf16(sets) },
    student: { name: DEFAULT_STUDENT, inCache: isFetched(findEntry(DEFAULT_STUDENT)!) },
    sources: await sources,
  };
}

type Facts = Awaited<ReturnType<typeof survey>>;

function machineFindings(facts: Facts): Finding[] {
  const { node, platform, cpu, cores, instructionSets: sets, freeDiskBytes: disk, matrixSpeed } = facts;
  const { totalBytes, freeBytes } = facts.memory;
  const [major, minor] = node.slice(1).split('.').map(Number);
  return [
    check('Node', `${node} on ${platform}`, major > 20 || (major === 20 && minor >= 19), 'install Node 20.19 or newer'),
    check('processor', `${cpu}, ${cores} cores`),
    check('instruction sets', sets.join(' ') || 'unknown'),
    check(
      'memory',
      `${formatBytes(freeBytes)} free of ${formatBytes(totalBytes)}`,
      freeBytes > LEAST_MEMORY,
      'close other programs: training the default student needs 3 GB',
    ),
    check(
      'disk',
      `${formatBytes(disk)} free here`,
      disk > LEAST_DISK,
      'a run of the default student writes up to 3 GB',
    ),
    check('float32 products', `${matrixSpeed.float32.toFixed(0)} GFLOP/s`),
    check('int8 products', `${matrixSpeed.int8.toFixed(0)} GOP/s`),
    check('training engine', engineText(facts.engine)),
    check('training every weight', fullText(facts.own)),
  ];
}

function engineText({ engine, reason, inCache }: Facts['engine']): string {
  if (engine === 'onnxruntime') return `ONNX Runtime; not OpenVINO: ${reason}`;
  return `OpenVINO, which ${inCache ? 'is in the cache' : 'the first training fetches (59 MB)'}`;
}

function fullText({ precision, reason }: Facts['own']): string {
  if (reason) return `as above; not Cupel's own kernels: ${reason}`;
  const other = precision === 'bf16' ? 'int8' : 'bf16';
  return `Cupel's own kernels in ${precision}, or in ${other} with --precision ${other}`;
}

/** Sources matter only while the student is not in the cache, and then one is enough. */
function weightFindings({ student, sources }: Facts): Finding[] {
  const enough = student.inCache || sources.some(({ reachable }) => reachable);
  const remedy = 'bring the weights by hand: `cupel distill --student FILE.gguf`, or set PIP_INDEX_URL to your mirror';
  return [
    check('default student', `${student.name} ${student.inCache ? 'is' : 'is not yet'} in the cache`, enough, remedy),
    ...sources.map(({ name, url, reachable, reason, seconds }) =>
      check(name, `${url} ${reachable ? `answers in ${seconds.toFixed(1)} s` : `does not answer: ${reason}`}`, enough),
    ),
  ];
}

function check(name: string, value: string, ok = true, remedy?: string): Finding {
  return ok || remedy === undefined ? { name, value, ok } : { name, value, ok, remedy };
}

function gpuFinding(found: Gpu[]): Finding {
  const packages = gpuPackages();
  const installed = packages.filter(isInstalled);
  const adds = packages.length > 0 ? `; ${packages.join(' or ')} adds one` : '';
  if (found.length === 0) return { name: 'GPU', value: `none found, and none is needed${adds}`, ok: true };
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
