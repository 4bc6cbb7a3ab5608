// The store: runs a stage into a folder named by the hash of its inputs and options, or finds it done.

import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { basename, join, relative } from 'node:path';
import { syncPath, writeFileDurably } from '../base/durable.ts';
import { type EnergyMeter, openEnergyMeter } from '../base/energy.ts';
import { CupelError } from '../base/errors.ts';
import { hashJson, sha256File } from '../base/hash.ts';
import { VERSION } from '../base/version.ts';
import { type Machine, Manifest } from './manifest.ts';

export interface Artifact {
  /** Folder that holds the files. */
  path: string;
  manifest: Manifest;
}

export interface StageRun {
  workspace: string;
  stage: string;
  /** Raise when the meaning of the output changes, so that old artifacts are not reused. */
  stageVersion: number;
  inputs: Record<string, string>;
  options: Record<string, unknown>;
  /**
   * Writes the files into `folder` and returns the facts. The folder keeps its content between interrupted attempts,
   * so a stage that checkpoints resumes from what it finds there; names beginning with `.` are dropped at the end.
   */
  build: (folder: string) => Promise<Record<string, unknown>>;
  /** The processor's own unless given. */
  meter?: EnergyMeter;
}

/** Runs the stage, or returns its artifact if it is already there (`reused`). Safe against kill at any moment. */
export async function runStage(run: StageRun): Promise<Artifact & { reused: boolean }> {
  const { stage, stageVersion, inputs, options } = run;
  const key = hashJson({ stage, stageVersion, inputs, options });
  const path = join(run.workspace, 'artifacts', `${stage}-${key.slice(0, 16)}`);
  if (existsSync(join(path, 'manifest.json'))) return { ...openArtifact(path), reused: true };
  const partial = `${path}.partial`;
  mkdirSync(partial, { recursive: true });
  const spent = spending(partial, run.meter ?? openEnergyMeter());
  const started = Date.now();
  const beat = setInterval(spent.save, 5_000);
  beat.unref();
  let facts: Record<string, unknown>;
  try {
    facts = await run.build(partial);
  } finally {
    clearInterval(beat);
    spent.save();
  }
  const { seconds, joules } = spent.now();
  dropHidden(partial);
  const manifest: Manifest = {
    format: 1,
    stage,
    key,
    stageVersion,
    cupel: VERSION,
    inputs,
    options,
    startedAt: new Date(started).toISOString(),
    seconds,
    ...(joules === undefined ? {} : { joules }),
    machine: thisMachine(),
    files: await listFiles(partial),
    facts,
  };
  writeFileDurably(join(partial, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  rmSync(path, { recursive: true, force: true });
  renameSync(partial, path);
  syncPath(join(run.workspace, 'artifacts'));
  return { path, manifest, reused: false };
}

/** Opens a finished artifact. @throws CupelError when the folder is none, or its manifest is damaged */
export function openArtifact(path: string): Artifact {
  const file = join(path, 'manifest.json');
  if (!existsSync(file)) {
    throw new CupelError('not an artifact: it has no manifest.json', {
      place: { file: path },
      remedy: 'give the folder that a stage printed, e.g. WORKSPACE/artifacts/import-0123456789abcdef',
    });
  }
  try {
    return { path, manifest: Manifest.parse(JSON.parse(readFileSync(file, 'utf8'))) };
  } catch (cause) {
    throw new CupelError('the manifest is damaged', {
      place: { file },
      remedy: 'delete the folder and rerun the stage',
      cause,
    });
  }
}

/** As `openArtifact`, with every file compared with the manifest's SHA-256. @throws CupelError naming the first that differs */
export async function openChecked(path: string): Promise<Artifact> {
  const artifact = openArtifact(path);
  const { files, stage } = artifact.manifest;
  for (const [name, { bytes, sha256 }] of Object.entries(files)) {
    const file = join(path, name);
    const found = statSync(file, { throwIfNoEntry: false });
    if (found?.size === bytes && (await sha256File(file)) === sha256) continue;
    throw new CupelError(found ? 'the file is not what the stage wrote' : 'a file of the artifact is gone', {
      place: { file },
      remedy: `delete ${path} and run ${stage} again`,
    });
  }
  return artifact;
}

/** All finished artifacts of a workspace, oldest first. */
export function listArtifacts(workspace: string): Artifact[] {
  const root = join(workspace, 'artifacts');
  if (!existsSync(root)) return [];
  return readdirSync(root)
    .map((name) => join(root, name))
    .filter((path) => !path.endsWith('.partial') && existsSync(join(path, 'manifest.json')))
    .map(openArtifact)
    .sort((a, b) => a.manifest.startedAt.localeCompare(b.manifest.startedAt));
}

export function thisMachine(): Machine {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    memoryBytes: totalmem(),
    platform: `${process.platform}-${process.arch}`,
    node: process.version,
  };
}

interface Spent {
  seconds: number;
  /** Undefined where one of the attempts had no counters. */
  joules?: number;
}

const SPENT = '.spent';

/** Time and energy of this attempt and those before it. */
function spending(folder: string, meter: EnergyMeter | undefined): { now: () => Spent; save: () => void } {
  const before = readSpent(join(folder, SPENT));
  const started = Date.now();
  const now = (): Spent => {
    const joules = meter && typeof before.joules === 'number' ? before.joules + meter.read() : undefined;
    return { seconds: before.seconds + (Date.now() - started) / 1000, joules };
  };
  const save = () => {
    try {
      writeFileDurably(join(folder, SPENT), JSON.stringify(now()));
    } catch {
      // a convenience; a full disk is reported by the stage itself
    }
  };
  return { now, save };
}

function readSpent(file: string): Spent {
  if (!existsSync(file)) return { seconds: 0, joules: 0 };
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Spent;
  } catch {
    return { seconds: 0 };
  }
}

function dropHidden(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (name.startsWith('.') || name.endsWith('.tmp')) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

async function listFiles(folder: string): Promise<Manifest['files']> {
  const files: Manifest['files'] = {};
  const names = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && basename(entry.name) !== 'manifest.json')
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  for (const name of names) {
    files[relative(folder, name)] = { bytes: statSync(name).size, sha256: await sha256File(name) };
  }
  return files;
}
