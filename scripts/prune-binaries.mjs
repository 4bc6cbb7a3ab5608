// After install: removes the runtime binaries of other platforms, which onnxruntime-node ships all together (240 MB).
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const require = createRequire(import.meta.url);
let root;
try {
  root = join(dirname(require.resolve('onnxruntime-node/package.json')), 'bin');
} catch {
  process.exit(0);
}
for (const abi of existsSync(root) ? readdirSync(root) : []) {
  for (const platform of readdirSync(join(root, abi))) {
    for (const arch of readdirSync(join(root, abi, platform))) {
      if (platform !== process.platform || arch !== process.arch) {
        rmSync(join(root, abi, platform, arch), { recursive: true, force: true });
      }
    }
  }
}
