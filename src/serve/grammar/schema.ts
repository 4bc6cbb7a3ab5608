// JSON schemas as the grammar sees them: references followed, allOf merged, keywords that cannot be enforced refused.
import { CupelError } from '../../base/errors.ts';

export type Schema = boolean | SchemaObject;
export interface SchemaObject {
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  $ref?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema;
  minProperties?: number;
  maxProperties?: number;
  items?: Schema;
  prefixItems?: Schema[];
  minItems?: number;
  maxItems?: number;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  format?: string;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number | boolean;
  exclusiveMaximum?: number | boolean;
  nullable?: boolean;
  [keyword: string]: unknown;
}

/** Keywords that forbid something and that no grammar here can forbid. */
const UNSUPPORTED = [
  'not',
  'if',
  'then',
  'else',
  'dependentRequired',
  'dependentSchemas',
  'dependencies',
  'patternProperties',
  'propertyNames',
  'contains',
  'minContains',
  'maxContains',
  'uniqueItems',
  'multipleOf',
  'unevaluatedItems',
  'unevaluatedProperties',
  'additionalItems',
  '$dynamicRef',
  '$recursiveRef',
];

/** More characters than any schema that people write. */
const MOST_CHARACTERS = 256 * 1024;

/** @throws CupelError for a schema so large that following it would keep others waiting */
export function checkSize(schema: unknown, path: string): void {
  const { length } = JSON.stringify(schema) ?? '';
  if (length <= MOST_CHARACTERS) return;
  throw new CupelError(`the schema has ${length} characters, more than ${MOST_CHARACTERS}`, { place: { field: path } });
}

const isText = (value: unknown) => typeof value === 'string';
const isList = (value: unknown) => Array.isArray(value) && value.length > 0;
const isMap = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value);
const isCount = (value: unknown) => Number.isInteger(value) && (value as number) >= 0;
const isNumber = (value: unknown) => Number.isFinite(value);
const isBound = (value: unknown) => isNumber(value) || typeof value === 'boolean';
const isTexts = (value: unknown) => Array.isArray(value) && value.every(isText);

const SHAPES: Record<string, [test: (value: unknown) => boolean, what: string]> = {
  type: [(value) => isText(value) || (isTexts(value) && isList(value)), 'a name or a list of names'],
  enum: [isList, 'a list of values'],
  anyOf: [isList, 'a list of schemas'],
  oneOf: [isList, 'a list of schemas'],
  allOf: [isList, 'a list of schemas'],
  prefixItems: [Array.isArray, 'a list of schemas'],
  properties: [isMap, 'an object of schemas'],
  required: [isTexts, 'a list of names'],
  $ref: [isText, 'a text'],
  pattern: [isText, 'a text'],
  format: [isText, 'a text'],
  minItems: [isCount, 'a whole number'],
  maxItems: [isCount, 'a whole number'],
  minLength: [isCount, 'a whole number'],
  maxLength: [isCount, 'a whole number'],
  minProperties: [isCount, 'a whole number'],
  maxProperties: [isCount, 'a whole number'],
  minimum: [isNumber, 'a number'],
  maximum: [isNumber, 'a number'],
  exclusiveMinimum: [isBound, 'a number'],
  exclusiveMaximum: [isBound, 'a number'],
};

/** @throws CupelError naming the keyword whose value is of the wrong kind */
function checkShape(schema: SchemaObject, path: string): void {
  for (const [keyword, [test, what]] of Object.entries(SHAPES)) {
    if (schema[keyword] === undefined || test(schema[keyword])) continue;
    throw new CupelError(`'${keyword}' must be ${what}`, { place: { field: `${path}.${keyword}` } });
  }
}

export function unsupported(what: string, path: string): CupelError {
  return new CupelError(what, {
    place: { field: path },
    remedy: 'leave it out, or check it after the answer',
  });
}

/** @throws CupelError naming the keyword and its place */
export function checkKeywords(schema: SchemaObject, path: string): void {
  checkShape(schema, path);
  for (const keyword of UNSUPPORTED) {
    const value = schema[keyword];
    const harmless =
      value === undefined ||
      (keyword === 'uniqueItems' && value === false) ||
      // of integers, what can be written out is
      (keyword === 'multipleOf' && Number.isInteger(value) && schema.type === 'integer');
    if (!harmless) throw unsupported(`'${keyword}' cannot be enforced`, `${path}.${keyword}`);
  }
}

/** What a reference within the same document points at. @throws CupelError */
export function follow(root: Schema, reference: string, path: string): Schema {
  if (!reference.startsWith('#')) throw unsupported(`'${reference}' is not in this schema`, `${path}.$ref`);
  let found: unknown = root;
  for (const step of reference.slice(1).split('/').filter(Boolean)) {
    const key = decoded(step).replaceAll('~1', '/').replaceAll('~0', '~');
    found =
      typeof found === 'object' && found !== null && Object.hasOwn(found, key)
        ? (found as Record<string, unknown>)[key]
        : undefined;
  }
  if (found === undefined) throw unsupported(`'${reference}' points at nothing`, `${path}.$ref`);
  return found as Schema;
}

function decoded(step: string): string {
  try {
    return decodeURIComponent(step);
  } catch {
    // a percent sign that encodes nothing stands for itself
    return step;
  }
}

/** Two schemas that both hold, as one. @throws CupelError where they cannot be joined */
export function merge(a: SchemaObject, b: SchemaObject, path: string): SchemaObject {
  for (const each of [a, b]) checkShape(each, path);
  const joined: SchemaObject = { ...a };
  for (const [keyword, value] of Object.entries(b)) {
    const mine = a[keyword];
    if (mine === undefined || JSON.stringify(mine) === JSON.stringify(value)) joined[keyword] = value;
    else if (keyword === 'properties') joined.properties = mergeProperties(mine as object, value as object, path);
    else if (keyword === 'required') joined.required = [...new Set([...(mine as string[]), ...(value as string[])])];
    else if (/^(min|exclusiveMin)/.test(keyword)) joined[keyword] = Math.max(Number(mine), Number(value));
    else if (/^(max|exclusiveMax)/.test(keyword)) joined[keyword] = Math.min(Number(mine), Number(value));
    else if (keyword === 'type' || keyword === 'enum')
      joined[keyword] = common(mine, value, `${path}.${keyword}`) as never;
    else if (!REMARKS.has(keyword))
      throw unsupported(`'${keyword}' is said twice and cannot be joined`, `${path}.${keyword}`);
  }
  closeOff(joined, a, b, path);
  closeOff(joined, b, a, path);
  return joined;
}

/** What one schema says of undeclared properties holds for those that only the other declares. */
function closeOff(
  joined: SchemaObject,
  { properties = {}, additionalProperties: others }: SchemaObject,
  other: SchemaObject,
  path: string,
): void {
  if (others === undefined || others === true) return;
  const alone = Object.keys(other.properties ?? {}).filter((name) => !Object.hasOwn(properties, name));
  if (alone.length === 0) return;
  if (others !== false) throw unsupported("'additionalProperties' beside other 'properties' cannot be joined", path);
  joined.properties = { ...joined.properties, ...Object.fromEntries(alone.map((name) => [name, false])) };
}

/** Keywords that forbid nothing. */
export const REMARKS: ReadonlySet<string> = new Set([
  'title',
  'description',
  'default',
  'examples',
  '$comment',
  '$defs',
  'definitions',
  '$schema',
  '$id',
]);

function mergeProperties(a: object, b: object, path: string): Record<string, Schema> {
  const joined: Record<string, Schema> = { ...(a as Record<string, Schema>) };
  for (const [name, schema] of Object.entries(b as Record<string, Schema>)) {
    const mine = Object.hasOwn(joined, name) ? joined[name] : true;
    if (mine === true) joined[name] = schema;
    else if (typeof mine === 'object' && typeof schema === 'object')
      joined[name] = merge(mine, schema, `${path}.properties.${name}`);
    else if (schema === false) joined[name] = false;
  }
  return joined;
}

function common(a: unknown, b: unknown, path: string): unknown[] {
  const [left, right] = [[a].flat(), [b].flat()];
  const known = new Set(right.map((each) => JSON.stringify(each)));
  const both = left.filter((each) => known.has(JSON.stringify(each)));
  if (both.length === 0) throw unsupported('nothing satisfies both', path);
  return both;
}

/** Whether no value satisfies both, as far as types and literals tell. */
export function areDisjoint(a: Schema, b: Schema): boolean {
  if (typeof a === 'boolean' || typeof b === 'boolean') return a === false || b === false;
  const [literalsA, literalsB] = [literalsOf(a), literalsOf(b)];
  if (literalsA && literalsB) return !literalsA.some((text) => literalsB.includes(text));
  const [typesA, typesB] = [typesOf(a), typesOf(b)];
  if (typesA && typesB && !typesA.some((type) => typesB.includes(type))) return true;
  return Object.entries(a.properties ?? {}).some(([name, mine]) => {
    const other = b.properties?.[name];
    const needed = a.required?.includes(name) && b.required?.includes(name);
    return needed && other !== undefined && areDisjoint(mine, other);
  });
}

export function literalsOf(schema: SchemaObject): string[] | undefined {
  const values = schema.enum ?? ('const' in schema ? [schema.const] : undefined);
  return values?.map((value) => JSON.stringify(value));
}

function typesOf({ type, nullable }: SchemaObject): string[] | undefined {
  if (type === undefined) return undefined;
  // an integer is a number too
  return [type, nullable ? 'null' : []].flat(2).map((each) => (each === 'integer' ? 'number' : each));
}
