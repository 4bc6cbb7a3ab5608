// The arrows of ARCHITECTURE.md are the only imports between folders, and no cycles between files but of pure types.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { expect, test } from 'vitest';

const root = resolve(import.meta.dirname, '../src');
const engine = ['graph', 'base'];
const allowed: Record<string, string[] | 'everything'> = {
  cli: 'everything',
  base: [],
  chat: ['base'],
  artifacts: ['base', 'chat'],
  catalog: ['base', 'formats'],
  formats: ['base'],
  graph: ['base'],
  onnx: engine,
  runtime: ['onnx', ...engine],
  models: engine,
  train: ['models', 'runtime', 'onnx', ...engine, 'chat', 'formats'],
  record: ['base', 'chat', 'artifacts'],
  curate: ['base', 'chat', 'artifacts'],
  distill: ['train', 'models', 'runtime', 'onnx', ...engine, 'chat', 'formats', 'artifacts'],
  compress: ['base', 'chat', 'artifacts', 'formats'],
  evaluate: ['base', 'chat', 'artifacts'],
  serve: ['base', 'chat', 'artifacts', 'formats'],
  report: ['base', 'chat', 'artifacts'],
};

const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
  .map((name) => join(root, name));

function importsIn(text: string, file: string): string[] {
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)]
    .map((match) => resolve(dirname(file), match[1]))
    .filter((target) => target.startsWith(root) && target.endsWith('.ts'));
}
const sources = new Map(files.map((file) => [file, readFileSync(file, 'utf8')]));
const importsOf = new Map([...sources].map(([file, text]) => [file, importsIn(text, file)]));
const runtimeImportsOf = new Map(
  [...sources].map(([file, text]) => [file, importsIn(text.replace(/^(import|export) type [^;]*;/gm, ''), file)]),
);

const folderOf = (file: string) => relative(root, file).split(/[\\/]/)[0];

test('there are sources to look at', () => expect(files.length).toBeGreaterThan(10));

test('folders import only what the architecture allows', () => {
  const wrong: string[] = [];
  for (const [file, targets] of importsOf) {
    const from = folderOf(file);
    const may = allowed[from];
    if (!may) wrong.push(`${relative(root, file)}: folder ${from} is not in the architecture`);
    for (const target of targets) {
      const to = folderOf(target);
      if (may !== 'everything' && to !== from && !may?.includes(to))
        wrong.push(`${relative(root, file)} -> ${relative(root, target)}`);
    }
  }
  expect(wrong).toEqual([]);
});

test('no file imports itself through others', () => {
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (file: string, trail: string[]) => {
    if (trail.includes(file)) {
      cycles.push([...trail.slice(trail.indexOf(file)), file].map((name) => relative(root, name)).join(' -> '));
      return;
    }
    if (done.has(file)) return;
    for (const target of runtimeImportsOf.get(file) ?? []) visit(target, [...trail, file]);
    done.add(file);
  };
  for (const file of files) visit(file, []);
  expect(cycles).toEqual([]);
});
