// Adds to package-lock.json the optional packages of other platforms that the registry at hand did not list (a mirror may hold
// only one platform's), because `npm ci` refuses a lock without them. They have a version and a platform, but no checksum.
// Run after `npm install`: node scripts/complete-lock.mjs
import { readFileSync, writeFileSync } from 'node:fs';

const SYSTEMS = [
  ['android', /android/],
  ['darwin', /darwin|mac-/],
  ['win32', /win32|win-|windows/],
  ['freebsd', /freebsd/],
  ['openharmony', /openharmony/],
  ['linux', /linux/],
];
const PROCESSORS = ['arm64', 'x64', 'ia32', 'ppc64', 'riscv64', 's390x', 'loong64', 'wasm32', 'arm'];

const lock = JSON.parse(readFileSync('package-lock.json', 'utf8'));
const { optionalDependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
lock.packages[''].optionalDependencies = optionalDependencies;
let added = 0;
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const nested = `${path}/node_modules/${name}`;
    if (lock.packages[nested] || lock.packages[`node_modules/${name}`]) continue;
    const os = SYSTEMS.find(([, pattern]) => pattern.test(name))?.[0];
    const cpu = PROCESSORS.find((processor) => name.includes(processor));
    if (!os || !cpu || !/^\d/.test(version)) {
      console.error(`left out: ${name}@${version} of ${path || 'this package'}`);
      continue;
    }
    lock.packages[`node_modules/${name}`] = {
      version,
      cpu: [cpu],
      ...(entry.dev ? { dev: true } : {}),
      optional: true,
      os: [os],
    };
    added++;
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync('package-lock.json', `${JSON.stringify(lock, null, 2)}\n`);
console.error(`${added} optional packages of other platforms added`);
