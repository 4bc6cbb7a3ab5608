// JSON schema to GBNF: every text the grammar allows is valid against the schema.
import { CupelError } from '../../base/errors.ts';
import { Effort, matches, type Place } from './automaton.ts';
import { integersBetween, multiplesBetween, numbersBetween } from './numbers.ts';
import { patternPlaces, placesToGbnf } from './pattern.ts';
import { anyOf, literal, oneOfTexts, Rules, repeat } from './rules.ts';
import {
  areDisjoint,
  checkKeywords,
  checkSize,
  follow,
  literalsOf,
  merge,
  REMARKS,
  type Schema,
  type SchemaObject,
  unsupported,
} from './schema.ts';
import { CHARACTER, charactersBetween, FORMATS, MOST_COUNTED } from './strings.ts';

const SPACE = '| " " | "\\n" [ \\t]{0,20}';
/** llama.cpp repeats no more often. */
const MOST_ITEMS = 2000;
/** Schemas inside each other, references followed. */
const DEEPEST = 200;
/** Schemas in all, each counted as often as references lead to it. */
const MOST_VISITS = 5000;
/** Alternatives that the sampler would follow at once: each token is held against each of them. */
const MOST_OPEN = 100;
const MOST_OPTIONAL = 500;
const TYPES = ['object', 'array', 'string', 'number', 'boolean', 'null'];

/**
 * Objects have their declared properties in the declared order, and no others; where no property is declared, any.
 * @param field where the schema stands in the request, for errors
 * @throws CupelError for a schema that cannot be enforced, or that nothing satisfies
 */
export function schemaToGbnf(schema: Schema, field = 'schema'): string {
  checkSize(schema, field);
  const grammar = new SchemaGrammar(schema);
  return grammar.rules.print(grammar.visit(schema, field));
}

/** Any JSON object. */
export function anyObjectGbnf(): string {
  return schemaToGbnf({ type: 'object' });
}

class SchemaGrammar {
  readonly rules = new Rules();
  private readonly root: Schema;
  private readonly references = new Map<string, string>();
  private readonly space: string;
  private readonly character: string;
  private anything: string | undefined;
  private readonly effort = new Effort();
  /** How many alternatives a rule opens at its start, where it is more than one. */
  private readonly open = new Map<string, number>();
  private depth = 0;
  private visits = 0;

  constructor(root: Schema) {
    this.root = root;
    this.space = this.rules.add('ws', SPACE);
    this.character = this.rules.add('char', CHARACTER);
  }

  /** @returns a rule's name or an expression */
  visit(schema: Schema, path: string): string {
    this.descend(path);
    const visited = this.visited(schema, path);
    this.depth--;
    return visited;
  }

  private descend(path: string): void {
    if (++this.depth > DEEPEST) throw unsupported(`schemas more than ${DEEPEST} deep, or without end`, path);
    if (++this.visits > MOST_VISITS) throw unsupported(`more than ${MOST_VISITS} schemas`, path);
  }

  private visited(schema: Schema, path: string): string {
    if (schema === true || (typeof schema === 'object' && schema !== null && Object.keys(schema).length === 0))
      return this.any();
    if (schema === false) throw unsupported('nothing satisfies the schema false', path);
    if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) {
      throw new CupelError('a schema is an object, true or false', { place: { field: path } });
    }
    checkKeywords(schema, path);
    if (schema.$ref !== undefined) return this.reference(schema, path);
    if (schema.allOf) return this.visit(this.joined(schema, schema.allOf, path), path);
    const choices = schema.anyOf ?? schema.oneOf;
    if (choices) return this.choice(schema, choices, path);
    if ('const' in schema || schema.enum) return this.literals(schema, path);
    return this.typed(schema, path);
  }

  private reference(schema: SchemaObject, path: string): string {
    const { $ref: target, ...rest } = schema;
    const siblings = Object.keys(rest).filter((key) => !REMARKS.has(key));
    const found = follow(this.root, target!, path);
    if (siblings.length > 0 && typeof found === 'object') return this.visit(merge(found, rest, path), path);
    const known = this.references.get(target!);
    if (known) return known;
    const name = this.rules.reserve(target!.split('/').at(-1) || 'root-again');
    this.references.set(target!, name);
    const body = this.visit(found, path);
    this.rules.define(name, body);
    this.open.set(name, this.open.get(body) ?? 1);
    return name;
  }

  private joined(schema: SchemaObject, parts: Schema[], path: string): Schema {
    const { allOf: _, ...rest } = schema;
    this.descend(path);
    const all = parts.reduce<SchemaObject>((all, part, index) => {
      const at = `${path}.allOf[${index}]`;
      const plain = typeof part === 'object' && part.$ref !== undefined ? follow(this.root, part.$ref, at) : part;
      if (plain === false) throw unsupported('nothing satisfies the schema false', at);
      if (plain === true) return all;
      return merge(all, plain.allOf ? (this.joined(plain, plain.allOf, at) as SchemaObject) : plain, at);
    }, rest);
    this.depth--;
    return all;
  }

  private choice(schema: SchemaObject, choices: Schema[], path: string): string {
    const { anyOf: _, oneOf, ...rest } = schema;
    if (schema.anyOf && oneOf) throw unsupported("'anyOf' beside 'oneOf' cannot be enforced", path);
    const keyword = oneOf ? 'oneOf' : 'anyOf';
    const open = choices.map((each) => {
      const found = typeof each === 'object' && each.$ref !== undefined ? follow(this.root, each.$ref, path) : each;
      return found;
    });
    if (oneOf && mayOverlap(open))
      throw unsupported("'oneOf' whose alternatives may overlap cannot be enforced; 'anyOf' can", `${path}.oneOf`);
    const onlyRemarks = Object.keys(rest).every((key) => REMARKS.has(key));
    const values = onlyRemarks ? open.map((each) => valuesOf(each)) : [];
    if (values.length > 0 && values.every((each) => each !== undefined))
      return this.literals({ enum: values.flat() }, `${path}.${keyword}`);
    const possible = choices.flatMap((each, index) => {
      if (each === false) return [];
      const inner = each === true ? rest : Object.keys(rest).length === 0 ? each : this.beside(rest, each, path);
      return [this.visit(inner, `${path}.${keyword}[${index}]`)];
    });
    if (possible.length === 0) throw unsupported('no alternative can be satisfied', `${path}.${keyword}`);
    const atOnce = possible.reduce((sum, each) => sum + (this.open.get(each) ?? 1), 0);
    if (atOnce > MOST_OPEN)
      throw unsupported(`no more than ${MOST_OPEN} alternatives can be enforced`, `${path}.${keyword}`);
    const rule = this.rules.add('choice', anyOf(possible));
    this.open.set(rule, atOnce);
    return rule;
  }

  private beside(rest: SchemaObject, each: SchemaObject, path: string): Schema {
    if (Object.keys(rest).every((key) => REMARKS.has(key))) return each;
    return this.joined({}, [rest, each], path);
  }

  private literals(schema: SchemaObject, path: string): string {
    const listed = schema.enum ?? [schema.const];
    const values = listed.filter((value) => this.allows(schema, value, path));
    if (schema.nullable && !values.includes(null)) values.push(null);
    if (values.length === 0) throw unsupported('no value is allowed', path);
    const isPlain = (value: unknown) => typeof value !== 'object' || value === null;
    const plain = [...new Set(values.filter(isPlain).map((value) => JSON.stringify(value)))];
    const others = values.filter((value) => !isPlain(value)).map((value) => this.value(value));
    return this.rules.add('enum', anyOf([...(plain.length > 0 ? [oneOfTexts(plain)] : []), ...others]));
  }

  /** Whether the keywords beside `enum` or `const` allow a value of theirs. */
  private allows(schema: SchemaObject, value: unknown, path: string): boolean {
    const types = schema.type === undefined ? undefined : [schema.type].flat();
    if (types && !types.some((type) => isOf(value, type))) return false;
    if (schema.enum && 'const' in schema && JSON.stringify(value) !== JSON.stringify(schema.const)) return false;
    if (typeof value === 'number') return isWithin(value, boundsOf(schema)) && isMultiple(value, schema.multipleOf);
    if (typeof value === 'string') return this.allowsText(schema, value, path);
    const about = Array.isArray(value) ? ABOUT_ARRAYS : ABOUT_OBJECTS;
    const said = value !== null && typeof value === 'object' && about.find((keyword) => schema[keyword] !== undefined);
    if (said) throw unsupported(`'${said}' beside given values cannot be enforced`, `${path}.${said}`);
    return true;
  }

  private allowsText(schema: SchemaObject, text: string, path: string): boolean {
    const { minLength = 0, maxLength = Number.POSITIVE_INFINITY, format } = schema;
    if (format !== undefined && FORMATS[format])
      throw unsupported("'format' beside given values cannot be enforced", path);
    const { length } = [...text];
    if (length < minLength || length > maxLength) return false;
    return schema.pattern === undefined || matches(this.placesOf(schema, path), text);
  }

  /** A given value, with the freedom of white space that JSON has. */
  private value(value: unknown): string {
    const list = (open: string, items: string[], close: string) =>
      items.length === 0
        ? `"${open}" ${this.space} "${close}"`
        : `"${open}" ${this.space} ${items.join(` "," ${this.space} `)} ${this.space} "${close}"`;
    if (Array.isArray(value))
      return list(
        '[',
        value.map((item) => this.value(item)),
        ']',
      );
    if (typeof value !== 'object' || value === null) return literal(JSON.stringify(value));
    const entries = Object.entries(value).map(([key, item]) => `${this.key(key)} ${this.value(item)}`);
    return list('{', entries, '}');
  }

  private key(name: string): string {
    return `${literal(JSON.stringify(name))} ":" ${this.space}`;
  }

  private typed(schema: SchemaObject, path: string): string {
    const types = [schema.type ?? guessType(schema) ?? TYPES].flat();
    const alternatives = types.map((type) => this.ofType(type, schema, path));
    if (schema.nullable && !types.includes('null')) alternatives.push('"null"');
    return anyOf(alternatives);
  }

  private ofType(type: string, schema: SchemaObject, path: string): string {
    if (type === 'object') return this.object(schema, path);
    if (type === 'array') return this.array(schema, path);
    if (type === 'string') return this.string(schema, path);
    if (type === 'number' || type === 'integer') return this.number(type, schema, path);
    if (type === 'boolean') return '("true" | "false")';
    if (type === 'null') return '"null"';
    throw new CupelError(`there is no type '${type}'`, { place: { field: `${path}.type` } });
  }

  private object(schema: SchemaObject, path: string): string {
    const { required = [], additionalProperties: others = true } = schema;
    const declared = Object.entries(schema.properties ?? {}).filter(([, each]) => each !== false);
    const known = new Set(Object.keys(schema.properties ?? {}));
    const forbidden = required.find((name) => known.has(name) && schema.properties![name] === false);
    if (forbidden !== undefined) throw unsupported(`'${forbidden}' is required and forbidden`, `${path}.required`);
    const extra = [...new Set(required)].filter((name) => !known.has(name));
    const names: [string, Schema][] = [...declared, ...extra.map((name): [string, Schema] => [name, others])];
    const { minProperties: least = 0, maxProperties: most = Number.POSITIVE_INFINITY } = schema;
    if (names.length === 0 && others !== false) return this.map(others, least, most, path);
    const needed = new Set(required);
    const kept = most < names.length ? names.filter(([name]) => needed.has(name)) : names;
    // with too few required ones, all must be there
    const all = least > needed.size;
    if (!all && kept.length - needed.size > MOST_OPTIONAL)
      throw unsupported(`no more than ${MOST_OPTIONAL} optional properties can be enforced`, `${path}.properties`);
    if (kept.length < least || kept.length > most)
      throw unsupported('so many properties cannot be enforced', `${path}.properties`);
    const members = kept.map(([name, each]) => ({
      rule: `${this.key(name)} ${this.visit(each, `${path}.properties.${name}`)}`,
      needed: all || needed.has(name),
    }));
    return this.rules.add('object', `"{" ${this.space} ${this.members(members)} "}"`);
  }

  /** Members in order, the optional ones left out or not, commas between: a rule for each place, before and after the first comma. */
  private members(members: { rule: string; needed: boolean }[]): string {
    let first = '""';
    let later = this.space;
    for (const { rule, needed } of members.toReversed()) {
      const followed = this.rules.add('members', later);
      const begin = `${rule} ${followed}`;
      const goOn = `"," ${this.space} ${rule} ${followed}`;
      first = needed ? begin : `${begin} | ${this.rules.add('members', first)}`;
      later = needed ? goOn : `${goOn} | ${followed}`;
    }
    return members.length === 0 ? '' : this.rules.add('members', first);
  }

  private map(values: Schema, least: number, most: number, path: string): string {
    if (least > 1)
      throw unsupported("'minProperties' without declared properties cannot be enforced", `${path}.minProperties`);
    const entry = `${this.stringOf(0, Number.POSITIVE_INFINITY)} ":" ${this.space} ${this.visit(values, `${path}.additionalProperties`)}`;
    return this.listOf('{', this.rules.add('entry', entry), '}', least, most);
  }

  private array(schema: SchemaObject, path: string): string {
    const { prefixItems = [], minItems = 0, maxItems = Number.POSITIVE_INFINITY } = schema;
    const leading = prefixItems
      .slice(0, maxItems)
      .map((each, index) => this.visit(each, `${path}.prefixItems[${index}]`));
    const others = schema.items ?? true;
    const ends = others === false || leading.length > 0;
    if (ends && minItems > leading.length && others === false)
      throw unsupported('too few items are allowed', `${path}.minItems`);
    if (minItems > maxItems) throw unsupported('nothing has so many items', `${path}.minItems`);
    if (minItems > MOST_ITEMS || (maxItems > MOST_ITEMS && maxItems !== Number.POSITIVE_INFINITY))
      throw unsupported(
        `no more than ${MOST_ITEMS} items can be counted`,
        `${path}.${minItems > MOST_ITEMS ? 'minItems' : 'maxItems'}`,
      );
    if (!ends) return this.listOf('[', this.visit(others, `${path}.items`), ']', minItems, maxItems);
    const more =
      minItems > leading.length ? Array(minItems - leading.length).fill(this.visit(others, `${path}.items`)) : [];
    const items = [...leading, ...more].join(` ${this.space} "," ${this.space} `);
    return this.rules.add('tuple', `"[" ${this.space} ${items} ${items ? this.space : ''} "]"`);
  }

  private listOf(open: string, item: string, close: string, least: number, most: number): string {
    const { space } = this;
    if (most === 0) return this.rules.add('list', `"${open}" ${space} "${close}"`);
    const rest = most === 1 ? '' : repeat(`(${space} "," ${space} ${item})`, Math.max(0, least - 1), most - 1);
    const filled = `${item} ${rest} ${space}`;
    return this.rules.add('list', `"${open}" ${space} ${least > 0 ? filled : `(${filled})?`} "${close}"`);
  }

  private string(schema: SchemaObject, path: string): string {
    const { pattern, format, minLength, maxLength } = schema;
    const enforced = format === undefined ? undefined : FORMATS[format];
    if (enforced && (pattern ?? minLength ?? maxLength) !== undefined)
      throw unsupported("'format' beside 'pattern' or a length cannot be enforced", path);
    if (Math.max(minLength ?? 0, maxLength ?? 0) > MOST_COUNTED)
      throw unsupported(`no more than ${MOST_COUNTED} characters can be counted`, path);
    if (pattern !== undefined) {
      const places = this.placesOf(schema, path);
      if (places.length === 0) throw unsupported('no text matches', `${path}.pattern`);
      return this.rules.add('string', `"\\"" ${placesToGbnf(places, this.rules)} "\\""`);
    }
    if (enforced) return this.rules.add(format!, `"\\"" ${enforced} "\\""`);
    const text = this.stringOf(minLength ?? 0, maxLength ?? Number.POSITIVE_INFINITY);
    if (!text) throw unsupported('no string has such a length', `${path}.minLength`);
    return text;
  }

  private placesOf({ pattern, minLength = 0, maxLength }: SchemaObject, path: string): Place[] {
    try {
      return patternPlaces(pattern!, { least: minLength, most: maxLength ?? Number.POSITIVE_INFINITY }, this.effort);
    } catch (error) {
      if (error instanceof CupelError) throw unsupported(error.message, `${path}.pattern`);
      throw error;
    }
  }

  private stringOf(least: number, most: number): string | undefined {
    const characters = charactersBetween(this.character, least, most);
    return characters === undefined ? undefined : this.rules.add('string', `"\\"" ${characters} "\\""`);
  }

  private number(type: 'number' | 'integer', schema: SchemaObject, path: string): string {
    const bounds = boundsOf(schema);
    const { low, high, lowOpen, highOpen } = bounds;
    const least = low !== undefined && lowOpen ? Math.floor(low) + 1 : low;
    const most = high !== undefined && highOpen ? Math.ceil(high) - 1 : high;
    const step = Number(schema.multipleOf ?? 1);
    if (step !== 1 && type === 'integer') {
      const multiples = multiplesBetween(step, least, most);
      if (multiples) return this.rules.add(type, multiples);
      throw unsupported("'multipleOf' needs bounds with 1 to 1,024 multiples between them", `${path}.multipleOf`);
    }
    const found = type === 'number' ? numbersBetween(bounds) : integersBetween(least, most);
    if (!found) throw unsupported('no number lies between the bounds', path);
    return this.rules.add(type, found);
  }

  private any(): string {
    if (this.anything) return this.anything;
    this.anything = this.rules.reserve('value');
    this.rules.define(this.anything, TYPES.map((type) => this.ofType(type, {}, '')).join(' | '));
    return this.anything;
  }
}

/** What would have to be looked up in a given array or object. */
const ABOUT_ARRAYS = ['items', 'prefixItems', 'minItems', 'maxItems'];
const ABOUT_OBJECTS = ['properties', 'required', 'additionalProperties', 'minProperties', 'maxProperties'];

/** What an alternative that only lists plain values allows. */
function valuesOf(schema: Schema): unknown[] | undefined {
  if (typeof schema !== 'object') return undefined;
  const { const: one, enum: several, ...rest } = schema;
  if (Object.keys(rest).some((key) => !REMARKS.has(key))) return undefined;
  if (several !== undefined) return one === undefined && Array.isArray(several) ? several : undefined;
  return 'const' in schema ? [one] : undefined;
}

function mayOverlap(alternatives: readonly Schema[]): boolean {
  const literals = alternatives.map((each) => (typeof each === 'object' ? literalsOf(each) : undefined));
  if (literals.every((each) => each !== undefined)) {
    const all = literals.flatMap((each) => [...new Set(each)]);
    return new Set(all).size < all.length;
  }
  if (alternatives.length > MOST_OPEN) return true;
  return alternatives.some((a, i) => alternatives.slice(0, i).some((b) => !areDisjoint(a, b)));
}

const isMultiple = (value: number, step: unknown) => step === undefined || value % Number(step) === 0;

function isWithin(value: number, { low, high, lowOpen, highOpen }: ReturnType<typeof boundsOf>): boolean {
  if (low !== undefined && (lowOpen ? value <= low : value < low)) return false;
  return high === undefined || (highOpen ? value < high : value <= high);
}

/** Draft 4 writes the exclusive bounds as flags. */
function boundsOf({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: SchemaObject) {
  const above = typeof exclusiveMinimum === 'number' ? exclusiveMinimum : undefined;
  const below = typeof exclusiveMaximum === 'number' ? exclusiveMaximum : undefined;
  const lowOpen = exclusiveMinimum === true || (above !== undefined && above >= (minimum ?? above));
  const highOpen = exclusiveMaximum === true || (below !== undefined && below <= (maximum ?? below));
  return {
    low: above !== undefined && lowOpen ? above : minimum,
    high: below !== undefined && highOpen ? below : maximum,
    lowOpen,
    highOpen,
  };
}

/** The type that keywords hint at; strictly a schema without `type` also allows every other type. */
function guessType(schema: SchemaObject): string | undefined {
  const has = (...keywords: string[]) => keywords.some((keyword) => schema[keyword] !== undefined);
  if (has('properties', 'required', 'additionalProperties', 'minProperties', 'maxProperties')) return 'object';
  if (has('items', 'prefixItems', 'minItems', 'maxItems')) return 'array';
  if (has('pattern', 'minLength', 'maxLength') || FORMATS[schema.format ?? '']) return 'string';
  return has('minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum') ? 'number' : undefined;
}

function isOf(value: unknown, type: string): boolean {
  if (value === null) return type === 'null';
  if (Array.isArray(value)) return type === 'array';
  if (type === 'integer') return Number.isInteger(value);
  return typeof value === type;
}
