// Reads damaged models one after another in a process of its own, and reports what was not a typed error or a whole read.
// Arguments: kind (gguf, safetensors, config), count, seed, path of the model, bytes of the GGUF header.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CupelError } from '../../src/base/errors.ts';
import { Random } from '../../src/base/random.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { elementsOf } from '../../src/formats/weights.ts';
import { mutate, mutateJson } from './mutate.ts';

export interface HostileReport {
  refused: number;
  read: number;
  /** Neither: what was thrown, and after which damage. */
  wrong: string[];
  /** Processor seconds of the slowest read. */
  slowest: number;
  /** How far memory grew beyond what it was after the undamaged read. */
  peakBytes: number;
}

const [kind, count, seed, path, headerBytes] = process.argv.slice(2);
const random = new Random(Number(seed));

/** Everything a user of a model touches. */
function readAll(path: string): void {
  const model = openCheckpoint(path);
  try {
    for (const name of model.weights.names()) {
      const values = model.weights.read(name);
      if (values.length !== elementsOf(model.weights.shape(name)))
        throw new Error(`${name} has ${values.length} values`);
    }
    // a folder's tokenizer is a file of its own, and whole here
    if (kind !== 'gguf') return;
    model.tokenizer.decode(model.tokenizer.encode('Hello 你好 <|im_end|> 123'));
  } finally {
    model.close();
  }
}

const target = kind === 'gguf' ? path : join(path, kind === 'config' ? 'config.json' : 'model.safetensors');
const original = readFileSync(target);
const header = kind === 'safetensors' ? 8 + Number(original.readBigUInt64LE()) : Number(headerBytes);

function damage(): Buffer | string {
  if (kind === 'config') return mutateJson(random, JSON.parse(original.toString()));
  if (kind === 'gguf' || random.below(2) === 0) return mutate(random, original, header);
  const json = Buffer.from(mutateJson(random, JSON.parse(original.subarray(8, header).toString())), 'latin1');
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, original.subarray(header)]);
}

readAll(path);
const report: HostileReport = { refused: 0, read: 0, wrong: [], slowest: 0, peakBytes: 0 };
const before = process.memoryUsage().rss;
for (let i = 0; i < Number(count); i++) {
  writeFileSync(target, damage());
  const start = process.cpuUsage();
  try {
    readAll(path);
    report.read++;
  } catch (error) {
    if (error instanceof CupelError) report.refused++;
    else report.wrong.push(`${kind} ${i}: ${(error as Error).stack?.split('\n').slice(0, 3).join(' ')}`);
  }
  const { user, system } = process.cpuUsage(start);
  report.slowest = Math.max(report.slowest, (user + system) / 1e6);
}
writeFileSync(target, original);
report.peakBytes = process.resourceUsage().maxRSS * 1024 - before;
process.stdout.write(JSON.stringify(report));
