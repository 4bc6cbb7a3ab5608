#!/usr/bin/env node
// Starts the command line: the build of an installed package, the sources of a checkout through tsx.
import { existsSync } from 'node:fs';

const built = new URL('../dist/cli/main.js', import.meta.url);
const source = new URL('../src/cli/main.ts', import.meta.url);
// in a checkout the sources are what was last changed; an installed package has its build, and no tsx
const installed = import.meta.url.includes('/node_modules/');
if (existsSync(built) && (installed || !existsSync(source))) await import(built.href);
else {
  const { register } = await import('tsx/esm/api');
  register();
  await import(source.href);
}
