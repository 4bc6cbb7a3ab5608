// Native libraries that no npm package carries, taken out of a wheel on the package index that pip is configured for.
import { createWriteStream, existsSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { syncPath, temporaryName } from '../base/durable.ts';
import { CupelError } from '../base/errors.ts';
import { sha256File } from '../base/hash.ts';
import { silent } from '../base/progress.ts';
import { alone } from './cache.ts';
import { type Attempt, fetchWheel } from './fetch-file.ts';
import type { ResolveOptions } from './resolve.ts';
import { cacheFolder, type Environment } from './settings.ts';
import { readWheelMember } from './wheel.ts';

export interface Library {
  readonly name: string;
  readonly version: string;
  /** By `platform-arch` of Node. */
  readonly wheels: Readonly<Record<string, LibraryWheel>>;
}

interface LibraryWheel {
  readonly package: string;
  /** Python, ABI and platform, as the wheel's name ends. */
  readonly tag: string;
  readonly sha256: string;
  readonly bytes: number;
  readonly members: readonly string[];
}

/** Apache-2.0. The libraries are the same for every Python; of its plugins only the processor's is taken. */
export const OPENVINO: Library = {
  name: 'openvino',
  version: '2026.4.1',
  wheels: {
    'linux-x64': {
      package: 'openvino',
      tag: 'cp310-cp310-manylinux_2_28_x86_64',
      sha256: '47dcccbab40a23aed1dc4af7c43a9c813cc61f684d66498e1627d407d5f2770b',
      bytes: 59_122_954,
      members: [
        'openvino/libs/libopenvino.so.2641',
        'openvino/libs/libopenvino_c.so.2641',
        'openvino/libs/libopenvino_intel_cpu_plugin.so',
        'openvino/libs/libopenvino_onnx_frontend.so.2641',
        'openvino/libs/libtbb.so.12',
        'openvino-2026.4.1.dist-info/licenses/LICENSE',
      ],
    },
  },
};

/** Where a library lies once it is fetched, or where to put its files by hand. */
export function libraryFolder({ name, version }: Library, env: Environment = process.env): string {
  return join(cacheFolder(env), 'libraries', `${name}-${version}`);
}

/** True when nothing of it would have to be fetched. */
export function isLibraryFetched(library: Library, env: Environment = process.env): boolean {
  const wheel = wheelFor(library);
  return wheel !== undefined && filesOf(wheel, libraryFolder(library, env)).every((file) => existsSync(file));
}

function filesOf({ members }: LibraryWheel, folder: string): string[] {
  return members.map((member) => join(folder, basename(member)));
}

/** True where there are files of the library for this platform. */
export function hasWheel(library: Library): boolean {
  return wheelFor(library) !== undefined;
}

function wheelFor({ wheels }: Library): LibraryWheel | undefined {
  return wheels[`${process.platform}-${process.arch}`];
}

/**
 * The folder with the library's files, fetched if need be.
 * @throws CupelError with every source that was tried, or where the platform has none
 */
export async function resolveLibrary(
  library: Library,
  options: Omit<ResolveOptions, 'acceptTerms'> = {},
): Promise<string> {
  const { env = process.env, progress = silent, signal } = options;
  const wheel = wheelFor(library);
  if (!wheel) throw new CupelError(`${library.name} is not known for ${process.platform} on ${process.arch}`);
  const folder = libraryFolder(library, env);
  if (isLibraryFetched(library, env)) return folder;
  const waiting = () => progress({ stage: 'pull', message: `another process is fetching ${library.name}` });
  await alone(
    folder,
    waiting,
    async () => {
      if (isLibraryFetched(library, env)) return;
      const attempts: Attempt[] = [];
      const found = await fetchWheel(
        { package: wheel.package, version: library.version, tag: wheel.tag },
        folder,
        { env, progress, signal },
        attempts,
      );
      if (found === undefined) throw unreachable(library, wheel, folder, attempts);
      try {
        await unpack(found, wheel, folder, signal);
      } finally {
        // a wheel that somebody put elsewhere is theirs
        if (dirname(found) === folder) rmSync(found, { force: true });
      }
    },
    signal,
  );
  return folder;
}

async function unpack(path: string, wheel: LibraryWheel, folder: string, signal?: AbortSignal): Promise<void> {
  if ((await sha256File(path)) !== wheel.sha256) {
    throw new CupelError(`${basename(path)} is another file than the one that was tested`, {
      place: { file: path },
      remedy: `bring the wheel with SHA-256 ${wheel.sha256}`,
    });
  }
  const files = filesOf(wheel, folder);
  for (const [i, member] of wheel.members.entries()) {
    const temporary = temporaryName(files[i]);
    try {
      await pipeline(readWheelMember(path, member), createWriteStream(temporary), { signal });
      syncPath(temporary);
      renameSync(temporary, files[i]);
    } finally {
      rmSync(temporary, { force: true });
    }
  }
}

function unreachable(
  { name, version }: Library,
  wheel: LibraryWheel,
  folder: string,
  attempts: readonly Attempt[],
): CupelError {
  const tried = attempts.map(({ place, reason }) => `\n  - ${place}: ${reason}`).join('');
  return new CupelError(`${name} ${version} could not be fetched from anywhere${tried}`, {
    remedy: `put ${wheel.members.map((member) => basename(member)).join(', ')} of the wheel ${wheel.package}-${version} (${wheel.tag}) into ${folder}; or point PIP_INDEX_URL or PIP_FIND_LINKS at a mirror you can reach`,
  });
}
