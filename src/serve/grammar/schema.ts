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

export function unsupported(what: string, path: string): CupelError {
  return new CupelError(what, {
    place: { field: path },
    remedy: 'leave it out, or check it after the answer',
  });
}

/** @throws CupelError naming the keyword and its place */
export function checkKeywords(schema: SchemaObject, path: string): void {
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
    const key = decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~');
    found =
      typeof found === 'object' && found !== null && Object.hasOwn(found, key)
        ? (found as Record<string, unknown>)[key]
        : undefined;
  }
  if (found === undefined) throw unsupported(`'${reference}' points at nothing`, `${path}.$ref`);
  return found as Schema;
}

/** Two schemas that both hold, as one. @throws CupelError where they cannot be joined */
export function merge(a: SchemaObject, b: SchemaObject, path: string): SchemaObject {
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
  return joined;
}

const REMARKS = new Set([
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
  const both = left.filter((each) => right.some((other) => JSON.stringify(other) === JSON.stringify(each)));
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

function literalsOf(schema: SchemaObject): string[] | undefined {
  const values = schema.enum ?? ('const' in schema ? [schema.const] : undefined);
  return values?.map((value) => JSON.stringify(value));
}

function typesOf({ type, nullable }: SchemaObject): string[] | undefined {
  if (type === undefined) return undefined;
  // an integer is a number too
  return [type, nullable ? 'null' : []].flat(2).map((each) => (each === 'integer' ? 'number' : each));
}
