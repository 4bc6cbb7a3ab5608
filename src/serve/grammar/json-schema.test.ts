// Random texts of the grammars made from 1,000 random schemas are valid, by zod's reading of the same schemas.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { writeTinyStudent } from '../../../test/tiny-student.ts';
import { CupelError } from '../../base/errors.ts';
import { Random } from '../../base/random.ts';
import { type Llama, loadLlama } from '../llama/library.ts';
import { type LlamaModel, loadModel } from '../llama/model.ts';
import { Candidates, Sampler } from '../llama/sampler.ts';
import { TokenBytes } from '../llama/tokenize.ts';
import { schemaToGbnf } from './json-schema.ts';
import type { Schema, SchemaObject } from './schema.ts';

const folder = mkdtempSync(join(tmpdir(), 'cupel-grammar-'));
let llama: Llama;
let model: LlamaModel;
let bytes: TokenBytes;
let candidates: Candidates;

beforeAll(() => {
  const path = join(folder, 'tiny.gguf');
  writeTinyStudent(path);
  llama = loadLlama();
  model = loadModel(llama, path);
  bytes = new TokenBytes(llama, model);
  candidates = new Candidates(llama, model.vocabSize, bytes);
});
afterAll(() => {
  model.free();
  rmSync(folder, { recursive: true, force: true });
});

/** What comes out when every token is as likely as any other, ends growing likelier with time. */
function babble(schema: Schema, seed: number): string {
  const sampler = new Sampler(llama, model, candidates, { temperature: 1, seed, grammar: schemaToGbnf(schema) });
  const random = new Random(seed);
  const parts: Uint8Array[] = [];
  // a token of this vocabulary is a byte
  const closers = [...'"}]'].map((character) => 3 + character.charCodeAt(0));
  try {
    for (let length = 0; length < 4000; length++) {
      const logits = Float32Array.from({ length: model.vocabSize }, () => 2 * random.normal());
      for (const id of closers) logits[id] += Math.min(40, length / 8);
      for (const id of model.endIds) logits[id] += 4;
      const token = sampler.pick(logits);
      sampler.accept(token);
      if (model.endIds.has(token)) return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts));
      parts.push(bytes.of(token));
    }
  } finally {
    sampler.free();
  }
  throw new Error(`does not end: ${JSON.stringify(schema)} ${Buffer.concat(parts).toString().slice(0, 300)}`);
}

function accepts(schema: Schema, text: string): boolean {
  return z.fromJSONSchema(schema as never).safeParse(JSON.parse(text)).success;
}

/** A schema of any shape that can be satisfied. */
function randomSchema(random: Random, depth: number): Schema {
  const simple = [string, integer, number, listed, () => ({ type: 'boolean' }), () => ({ type: 'null' })];
  const nested = [object, object, list, tuple, either, () => ({}), map];
  const makers = depth > 0 && random.next() < 0.6 ? nested : simple;
  return makers[random.below(makers.length)](random, depth - 1) as Schema;
}

const NAMES = ['name', 'order id', 'a"quote', '数量', 'x', 'y\\z', 'emoji 🙂', 'line\nbreak'];

function object(random: Random, depth: number): SchemaObject {
  const names = random.shuffle([...NAMES]).slice(0, random.below(5));
  return {
    type: 'object',
    properties: Object.fromEntries(names.map((name) => [name, randomSchema(random, depth)])),
    required: names.filter(() => random.next() < 0.6),
    additionalProperties: false,
  };
}

function map(random: Random, depth: number): SchemaObject {
  return { type: 'object', additionalProperties: randomSchema(random, depth) };
}

function list(random: Random, depth: number): SchemaObject {
  const minItems = random.below(4);
  const bounds = [{}, { minItems }, { maxItems: minItems }, { minItems, maxItems: minItems + random.below(3) }];
  return { type: 'array', items: randomSchema(random, depth), ...bounds[random.below(4)] };
}

function tuple(random: Random, depth: number): SchemaObject {
  const prefixItems = Array.from({ length: 1 + random.below(3) }, () => randomSchema(random, depth));
  return { type: 'array', prefixItems, items: false, minItems: prefixItems.length };
}

function either(random: Random, depth: number): SchemaObject {
  return { anyOf: Array.from({ length: 1 + random.below(3) }, () => randomSchema(random, depth)) };
}

function string(random: Random): SchemaObject {
  const least = random.below(40);
  const kinds: SchemaObject[] = [
    {},
    { minLength: least },
    { maxLength: least },
    { minLength: least, maxLength: least + random.below(300) },
    { pattern: '^[A-Z]{2}-\\d{5}$' },
    { pattern: '^(yes|no|"maybe")?[^a-z0-9"\\]}]+\\\\\\w*$' },
    { pattern: '^a?x\\.y' },
    { pattern: '[x}\\]]$' },
    { pattern: '^(a?){20}a{20}$' },
    { pattern: '^\\S+ .\\D*$', minLength: 5, maxLength: 9 },
    { pattern: '[b}]', minLength: least },
    { format: ['date', 'time', 'date-time', 'uuid', 'ipv4', 'email'][random.below(6)] },
  ];
  return { type: 'string', ...kinds[random.below(kinds.length)] };
}

function integer(random: Random): SchemaObject {
  const low = random.below(2000) - 1000;
  const high = low + random.below(3) ** 8 * random.below(50);
  const multiple = { minimum: low, exclusiveMaximum: low + 300, multipleOf: 2 + random.below(20) };
  const bounds = [
    {},
    { minimum: low },
    { maximum: high },
    { minimum: low, maximum: high },
    { exclusiveMinimum: low },
    multiple,
  ];
  return { type: 'integer', ...bounds[random.below(6)] };
}

function number(random: Random): SchemaObject {
  const low = Math.round((random.next() - 0.5) * 10 ** random.below(7)) / 1000;
  const high = low + 0.001 + random.next() * 10 ** (random.below(7) - 3);
  const bounds = [
    {},
    { minimum: low },
    { maximum: high },
    { minimum: low, maximum: high },
    { exclusiveMinimum: low, exclusiveMaximum: high },
  ];
  return { type: 'number', ...bounds[random.below(5)] };
}

function listed(random: Random): SchemaObject {
  const values = ['high', 'low', 'it "is"', 3, -1.5, true, null];
  return { enum: random.shuffle(values).slice(0, 1 + random.below(5)) };
}

it('1,000 random schemas give valid answers, whatever the model says', () => {
  const random = new Random(1);
  const kinds = new Set<string>();
  for (let seed = 1; seed <= 1000; seed++) {
    const schema = randomSchema(random, 3);
    const text = babble(schema, seed);
    kinds.add(JSON.stringify(schema));
    expect(accepts(schema, text), `${JSON.stringify(schema)} gave ${text}`).toBe(true);
  }
  expect(kinds.size).toBeGreaterThan(500);
});

describe('by hand', () => {
  const samples = (schema: Schema, count = 30) => Array.from({ length: count }, (_, i) => babble(schema, 100 + i));

  it('references and recursion', () => {
    const schema = {
      $defs: {
        node: {
          type: 'object',
          properties: { v: { type: 'integer' }, next: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] } },
          required: ['v', 'next'],
        },
      },
      $ref: '#/$defs/node',
    };
    for (const text of samples(schema)) expect(typeof JSON.parse(text).v).toBe('number');
  });

  it('allOf is merged', () => {
    const schema: Schema = {
      allOf: [
        { type: 'object', properties: { a: { const: 1 } }, required: ['a'] },
        { properties: { b: { enum: ['x'] } }, required: ['b'] },
      ],
    };
    for (const text of samples(schema)) expect(JSON.parse(text)).toEqual({ a: 1, b: 'x' });
  });

  it('optional properties come and go', () => {
    const schema = {
      type: 'object',
      properties: { a: { const: 1 }, b: { const: 2 }, c: { const: 3 } },
      required: ['b'],
    };
    const seen = new Set(samples(schema, 60).map((text) => Object.keys(JSON.parse(text)).join('')));
    expect([...seen].sort()).toEqual(['ab', 'abc', 'b', 'bc']);
  });

  it('every integer of a range and no other', () => {
    const seen = new Set(samples({ type: 'integer', minimum: -3, maximum: 12 }, 600).map(Number));
    expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: 16 }, (_, i) => i - 3));
  });

  it('given values are those that the keywords beside them allow', () => {
    const texts = { enum: ['a', 'abc', 'abcd', 'xyz', 3], minLength: 2, maxLength: 3, pattern: '^a', type: 'string' };
    expect(new Set(samples(texts))).toEqual(new Set(['"abc"']));
    const numbers = { enum: [1, 2, 3, 4, 0, 'x'], minimum: 0, exclusiveMaximum: 4, multipleOf: 2, type: 'integer' };
    expect(new Set(samples(numbers))).toEqual(new Set(['2', '0']));
    expect(new Set(samples({ enum: [1, 2], const: 2 }))).toEqual(new Set(['2']));
  });

  it('texts that begin alike, and characters outside the basic plane', () => {
    const listed = ['', 'a', 'ab', 'abc', '🙂', '🙃', '🙂🙂', 'b"'];
    expect(new Set(samples({ enum: listed }, 200).map((text) => JSON.parse(text)))).toEqual(new Set(listed));
  });

  it('alternatives that are values become one list, however many', () => {
    const schema = { anyOf: Array.from({ length: 2000 }, (_, i) => ({ const: `v${i}` })) };
    for (const text of samples(schema, 5)) expect(text).toMatch(/^"v\d{1,4}"$/);
  });

  it('a closed object stays closed beside another', () => {
    const closed: Schema = {
      type: 'object',
      properties: { a: { const: 1 } },
      required: ['a'],
      additionalProperties: false,
    };
    for (const text of samples({ allOf: [closed, { properties: { b: { const: 2 } } }] }))
      expect(JSON.parse(text)).toEqual({ a: 1 });
  });

  it('long strings keep to their bounds', () => {
    for (const text of samples({ type: 'string', minLength: 300, maxLength: 500 }, 5)) {
      const { length } = [...(JSON.parse(text) as string)];
      expect(length).toBeGreaterThanOrEqual(300);
      expect(length).toBeLessThanOrEqual(500);
    }
  });
});

describe('is refused, with the place named', () => {
  const cases: [schema: unknown, field: string][] = [
    [{ type: 'object', properties: { a: { not: {} } } }, 'schema.properties.a.not'],
    [{ type: 'array', uniqueItems: true }, 'schema.uniqueItems'],
    [{ type: 'integer', multipleOf: 3 }, 'schema.multipleOf'],
    [{ type: 'number', multipleOf: 0.5, minimum: 0, maximum: 9 }, 'schema.multipleOf'],
    [{ oneOf: [{ type: 'integer' }, { type: 'number' }] }, 'schema.oneOf'],
    [{ $ref: '#/$defs/none' }, 'schema.$ref'],
    [{ $ref: 'https://example.com/s.json' }, 'schema.$ref'],
    [{ type: 'string', pattern: '(?=x)' }, 'schema.pattern'],
    [{ type: 'thing' }, 'schema.type'],
    [{ enum: ['a'], type: 'integer' }, 'schema'],
    [{ type: 'integer', minimum: 5, maximum: 4 }, 'schema'],
    [{ type: 'array', minItems: 3, maxItems: 2 }, 'schema.minItems'],
    ['text', 'schema'],
    [false, 'schema'],
    [{ anyOf: {} }, 'schema.anyOf'],
    [{ type: 'object', required: 'a' }, 'schema.required'],
    [{ type: 'array', minItems: '2' }, 'schema.minItems'],
    [{ type: 'string', minLength: 1.5 }, 'schema.minLength'],
    [{ type: 'integer', minimum: 'a' }, 'schema.minimum'],
    [{ type: 'string', pattern: 5 }, 'schema.pattern'],
    [{ $ref: 5 }, 'schema.$ref'],
    [{ $ref: '#/%E0%A4%A' }, 'schema.$ref'],
    [{ enum: [] }, 'schema.enum'],
    [{ type: 'object', properties: { a: false }, required: ['a'] }, 'schema.required'],
    [{ type: 'string', pattern: '[z-a]' }, 'schema.pattern'],
    [{ type: 'string', pattern: 'a{3,1}' }, 'schema.pattern'],
    [{ type: 'string', pattern: '^abc$', maxLength: 2 }, 'schema.pattern'],
    [{ enum: ['abc'], maxLength: 2 }, 'schema'],
  ];
  it.each(cases)('%j', (schema, field) => expect(refusal(schema).place.field).toBe(field));
});

function refusal(schema: unknown): CupelError {
  try {
    schemaToGbnf(schema as Schema);
  } catch (error) {
    expect(error).toBeInstanceOf(CupelError);
    return error as CupelError;
  }
  return expect.unreachable();
}

describe('what would keep others waiting is refused', () => {
  const many = <T>(count: number, make: (i: number) => T) => Array.from({ length: count }, (_, i) => make(i));
  const cases: [name: string, schema: unknown, message: RegExp][] = [
    ['itself', { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/a', type: 'object' } } }, /without end/],
    ['itself in allOf', { allOf: [{ $ref: '#' }] }, /without end/],
    [
      'references that multiply',
      {
        $ref: '#/$defs/d0',
        $defs: Object.fromEntries(
          many(30, (i) => {
            const next = { $ref: `#/$defs/d${i + 1}`, minProperties: 0 };
            return [`d${i}`, i === 29 ? {} : { type: 'object', properties: { a: next, b: next } }];
          }),
        ),
      },
      /more than 5000 schemas/,
    ],
    ['size', { enum: ['x'.repeat(300_000)] }, /characters/],
    ['items', { type: 'array', prefixItems: [{}], minItems: 1e9 }, /2000 items/],
    ['most items', { type: 'array', maxItems: 1e9 }, /2000 items/],
    ['characters', { type: 'string', maxLength: 1e9 }, /60800 characters/],
    ['alternatives', { anyOf: many(200, (i) => ({ type: 'array', items: { const: i } })) }, /100 alternatives/],
    [
      'optional properties',
      { properties: Object.fromEntries(many(600, (i) => [`p${i}`, { const: i }])) },
      /500 optional/,
    ],
    ['repetition', { type: 'string', pattern: '^((a{1000}){1000}){1000}$' }, /too large/],
    ['ambiguity', { type: 'string', pattern: '^(a|b)*a(a|b){20}$' }, /too large/],
    ['parentheses', { type: 'string', pattern: '('.repeat(1000) + ')'.repeat(1000) }, /parentheses/],
    ['patterns', { anyOf: many(50, (i) => ({ type: 'string', pattern: `^[a-z]*x[a-z]{7}${i}$` })) }, /too large/],
  ];
  it.each(cases)('%s', (_, schema, message) => expect(refusal(schema).message).toMatch(message));
});
