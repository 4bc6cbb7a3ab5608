// What an answer says, whoever gave it: whether it has the shape that was asked for, and whether another says the same.
import { type Schema, type SchemaDraft, Validator } from '@cfworker/json-schema';
import { isJson, sameAnswer } from '../../chat/confidence.ts';

export interface Said {
  text: string;
  calls: { name: string; arguments: string }[];
}

/** Of a request, what its answer must look like. */
export interface Asked {
  /** The answer is one of these; a teacher's API knows no such field. */
  guided_choice?: string[] | null;
  response_format?: { type?: string; json_schema?: { schema?: unknown } } | null;
  tools?: { function?: { name?: string; parameters?: unknown } }[] | null;
}

interface Message {
  content?: string | null;
  tool_calls?: { function: { name: string; arguments: string } }[];
}

export function saidIn({ content, tool_calls = [] }: Message): Said {
  return {
    text: content ?? '',
    calls: tool_calls.map(({ function: { name, arguments: given } }) => ({ name, arguments: given })),
  };
}

export function sameSaid(a: Said, b: Said): boolean {
  if (a.calls.length !== b.calls.length) return false;
  const same = a.calls.every(
    ({ name, arguments: given }, i) => name === b.calls[i].name && sameAnswer(given, b.calls[i].arguments),
  );
  return same && (a.calls.length > 0 || sameAnswer(a.text, b.text));
}

/** The one of a closed set that a text means: spelled so, or with other case, quotes or a full stop about it. */
export function labelIn(labels: readonly string[], { text, calls }: Said): string | undefined {
  if (calls.length > 0) return undefined;
  const exact = labels.find((label) => label === text.trim());
  const alike = labels.filter((label) => bare(label) === bare(text));
  return exact ?? (alike.length === 1 ? alike[0] : undefined);
}

function bare(text: string): string {
  return text.replace(/^[\s"'`“‘「]+|[\s"'`”’」.。!！]+$/g, '').toLowerCase();
}

/** Whether the calls fit the tools, or the text the response format. */
export function fits({ response_format, tools }: Asked, { text, calls }: Said): boolean {
  if (calls.length > 0) {
    const parametersOf = (name: string) => tools?.find((tool) => tool.function?.name === name)?.function;
    return calls.every((call) => {
      const known = parametersOf(call.name);
      return known !== undefined && satisfies(call.arguments, known.parameters);
    });
  }
  const type = response_format?.type ?? 'text';
  if (type === 'text') return true;
  return satisfies(text, type === 'json_schema' ? response_format?.json_schema?.schema : undefined);
}

/** @param schema undefined: any JSON will do */
function satisfies(text: string, schema: unknown): boolean {
  if (!isJson(text)) return false;
  if (typeof schema === 'boolean') return schema;
  if (typeof schema !== 'object' || schema === null) return true;
  try {
    return new Validator(schema as Schema, draftOf(schema as Schema)).validate(JSON.parse(text)).valid;
  } catch {
    // a reference that leads nowhere, a pattern that is none: nothing can be said to satisfy it
    return false;
  }
}

function draftOf({ $schema, definitions }: Schema): SchemaDraft {
  if (/draft-0?4/.test($schema ?? '')) return '4';
  if (/draft-0?[67]/.test($schema ?? '') || ($schema === undefined && definitions !== undefined)) return '7';
  return /2019-09/.test($schema ?? '') ? '2019-09' : '2020-12';
}
