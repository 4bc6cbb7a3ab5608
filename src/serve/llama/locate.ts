// Finds the prebuilt llama.cpp libraries among the installed packages, without loading them.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { CupelError } from '../../base/errors.ts';

export interface LlamaLibraries {
  /** npm package, e.g. `@node-llama-cpp/linux-x64`. */
  package: string;
  packageVersion: string;
  /** What it computes on beside the CPU. */
  gpu: 'cuda' | 'vulkan' | 'metal' | undefined;
  /** Folder with the shared libraries; ggml loads its CPU and GPU backends from here. */
  folder: string;
  llama: string;
  ggml: string;
  ggmlBase: string;
}

const require = createRequire(import.meta.url);

/** Package suffixes by `process.platform`-`process.arch`, GPU builds first. */
const PACKAGES: Record<string, readonly string[]> = {
  'linux-x64': ['linux-x64-cuda', 'linux-x64-vulkan', 'linux-x64'],
  'linux-arm64': ['linux-arm64'],
  'linux-arm': ['linux-armv7l'],
  'darwin-arm64': ['mac-arm64-metal'],
  'darwin-x64': ['mac-x64'],
  'win32-x64': ['win-x64-cuda', 'win-x64-vulkan', 'win-x64'],
  'win32-arm64': ['win-arm64'],
};

/** Packages that fit this platform, whether installed or not; GPU builds first. */
export function packagesForPlatform(): string[] {
  return (PACKAGES[`${process.platform}-${process.arch}`] ?? []).map((suffix) => `@node-llama-cpp/${suffix}`);
}

/** Installed llama.cpp libraries, GPU builds first; empty when there are none. */
export function locateLibraries(): LlamaLibraries[] {
  return packagesForPlatform().flatMap((name) => locate(name) ?? []);
}

/** @throws CupelError naming the package to install */
export function requireLibraries(gpu: boolean): LlamaLibraries {
  const found = locateLibraries();
  const chosen = gpu ? found[0] : (found.find((each) => each.gpu === undefined || each.gpu === 'metal') ?? found[0]);
  if (chosen) return chosen;
  const cpu = packagesForPlatform().at(-1);
  throw new CupelError(`no llama.cpp library is installed for ${process.platform}-${process.arch}`, {
    remedy: cpu
      ? `npm install ${cpu}@3.22.1`
      : 'serve on Linux, macOS or Windows; there is no prebuilt library for this platform',
  });
}

function locate(name: string): LlamaLibraries | undefined {
  const root = packageRoot(name);
  if (!root || !existsSync(join(root, 'bins'))) return undefined;
  for (const entry of readdirSync(join(root, 'bins'))) {
    const folder = join(root, 'bins', entry);
    const files = readdirSync(folder);
    const file = (stem: string) => {
      const match = files.find((each) => new RegExp(`^(lib)?${stem}([.-]?v?[\\d.]+)?\\.(so|dylib|dll)$`).test(each));
      return match && join(folder, match);
    };
    const [llama, ggml, ggmlBase] = [file('llama'), file('ggml'), file('ggml-base')];
    if (!llama || !ggml || !ggmlBase) continue;
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    const gpu = (['cuda', 'vulkan', 'metal'] as const).find((each) => name.endsWith(each));
    return { package: name, packageVersion: version, gpu, folder, llama, ggml, ggmlBase };
  }
  return undefined;
}

function packageRoot(name: string): string | undefined {
  try {
    // package.json is not among the package's exports
    return dirname(dirname(require.resolve(name)));
  } catch {
    return undefined;
  }
}
