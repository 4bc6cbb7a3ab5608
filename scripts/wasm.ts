// Assembles src/train/kernels.wat into src/train/kernels-wasm.ts: npm run wasm
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import wabt from 'wabt';

const folder = new URL('../src/train/', import.meta.url);

/** What the text assembles to, in base64. */
export async function assemble(): Promise<string> {
  const text = readFileSync(new URL('kernels.wat', folder), 'utf8');
  const module = (await wabt()).parseWat('kernels.wat', text, { simd: true });
  module.validate();
  return Buffer.from(module.toBinary({}).buffer).toString('base64');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const made = `// Made of kernels.wat by \`npm run wasm\`; not to be edited.\nexport const KERNELS_WASM =\n  '${await assemble()}';\n`;
  writeFileSync(new URL('kernels-wasm.ts', folder), made);
}
