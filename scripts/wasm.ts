// Assembles src/train/adamw.wat into src/train/adamw-wasm.ts: npm run wasm
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import wabt from 'wabt';

const folder = new URL('../src/train/', import.meta.url);

/** What the text assembles to, in base64. */
export async function assemble(): Promise<string> {
  const text = readFileSync(new URL('adamw.wat', folder), 'utf8');
  const module = (await wabt()).parseWat('adamw.wat', text, { simd: true });
  module.validate();
  return Buffer.from(module.toBinary({}).buffer).toString('base64');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const made = `// Made of adamw.wat by \`npm run wasm\`; not to be edited.\nexport const ADAMW_WASM =\n  '${await assemble()}';\n`;
  writeFileSync(new URL('adamw-wasm.ts', folder), made);
}
