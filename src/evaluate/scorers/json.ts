// Scorer "json": structured answers compared field by field.
import { Validator } from '@cfworker/json-schema';
import { canonicalJson } from '../../base/hash.ts';
import { normalise, type Score, type Scorer } from './scorer.ts';

type Fields = Map<string, unknown>;

export const json: Scorer = {
  description: 'the share of JSON fields that are right, over all fields of either answer',
  suits: (expected) => expected.filter((text) => isStructured(parseAnswer(text))).length >= 0.9 * expected.length,
  prepare: (_expected, options) => {
    const schema = options.schema && new Validator(options.schema, draftOf(options.schema));
    return (prediction, expected) => {
      const wanted = parseAnswer(expected);
      if (!isStructured(wanted)) return { score: normalise(prediction) === normalise(expected) ? 1 : 0 };
      const given = parseAnswer(prediction);
      const score = compare(given, wanted);
      // what breaks the schema breaks the caller's program, however many fields are right
      if (schema && !(given !== undefined && schema.validate(given).valid)) return { ...score, score: 0 };
      return options.requireAllFields ? { ...score, score: score.score === 1 ? 1 : 0 } : score;
    };
  },
};

/** As `$schema` says; 2020-12 where it says nothing. */
function draftOf({ $schema }: Record<string, unknown>): '4' | '7' | '2019-09' | '2020-12' {
  const said = /draft-0([47])|draft\/(2019-09)/.exec(String($schema));
  return (said?.[1] ?? said?.[2] ?? '2020-12') as ReturnType<typeof draftOf>;
}

/** The JSON value in an answer: the whole text, or the first object or array in it (after a code fence, in a tool call). */
export function parseAnswer(text: string): unknown {
  const whole = tryParse(text);
  if (whole !== undefined) return whole;
  for (let start = text.search(/[{[]/); start >= 0; ) {
    const end = closing(text, start);
    const value = end < 0 ? undefined : tryParse(text.slice(start, end + 1));
    if (value !== undefined) return value;
    const next = text.slice(start + 1).search(/[{[]/);
    start = next < 0 ? -1 : start + 1 + next;
  }
  return undefined;
}

function isStructured(value: unknown): value is object {
  return value !== null && typeof value === 'object';
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Where the bracket at `start` closes, or -1. */
function closing(text: string, start: number): number {
  let depth = 0;
  let quoted = false;
  for (let i = start; i < text.length; i++) {
    const character = text[i];
    if (quoted) {
      if (character === '\\') i++;
      else if (character === '"') quoted = false;
    } else if (character === '"') quoted = true;
    else if (character === '{' || character === '[') depth++;
    else if ((character === '}' || character === ']') && --depth === 0) return i;
  }
  return -1;
}

function compare(predicted: unknown, expected: object): Score {
  const wanted = leaves(expected);
  const given = isStructured(predicted) ? leaves(predicted) : new Map<string, unknown>();
  const fields: Record<string, number> = {};
  for (const key of new Set([...wanted.keys(), ...given.keys()])) {
    fields[key] = wanted.has(key) && given.has(key) && sameValue(given.get(key), wanted.get(key)) ? 1 : 0;
  }
  const scores = Object.values(fields);
  return { score: scores.reduce((a, b) => a + b, 0) / scores.length, fields };
}

/** Objects are taken apart by path (`customer.name`; `a\\.b` is one name); an array is one value, whose order counts, and so is `{}`. */
function leaves(value: unknown, path = '', into: Fields = new Map()): Fields {
  if (!isStructured(value) || Array.isArray(value) || Object.keys(value).length === 0) {
    if (value !== undefined) into.set(path || 'answer', value);
    return into;
  }
  for (const [key, inner] of Object.entries(value)) {
    const name = key.replace(/[\\.]/g, '\\$&');
    leaves(inner, path ? `${path}.${name}` : name, into);
  }
  return into;
}

function sameValue(a: unknown, b: unknown): boolean {
  if (typeof a === 'string' && typeof b === 'string') return normalise(a) === normalise(b);
  return canonicalJson(plain(a)) === canonicalJson(plain(b));
}

function plain(value: unknown): unknown {
  if (typeof value === 'string') return normalise(value);
  if (Array.isArray(value)) return value.map(plain);
  if (!isStructured(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}
