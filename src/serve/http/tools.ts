// Function calling: tools into the prompt, `<tool_call>` blocks out of the answer, and the grammar that enforces a call.
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { schemaToGbnf } from '../grammar/json-schema.ts';
import type { Schema } from '../grammar/schema.ts';
import { ApiError } from './errors.ts';

export const Tool = z.looseObject({
  type: z.literal('function'),
  function: z.looseObject({
    name: z.string().regex(/^[\w.-]{1,64}$/),
    description: z.string().optional(),
    parameters: z.record(z.string(), z.unknown()).optional(),
  }),
});
export type Tool = z.infer<typeof Tool>;

export const ToolChoice = z.union([
  z.enum(['none', 'auto', 'required']),
  z.looseObject({ type: z.literal('function'), function: z.looseObject({ name: z.string() }) }),
]);
export type ToolChoice = z.infer<typeof ToolChoice>;

export interface ToolCall {
  id: string;
  type: 'function';
  function: { name: string; arguments: string };
}

export const OPEN = '<tool_call>';
const CLOSE = '</tool_call>';

/** The tools among which the answer must choose; undefined when it is free. @throws ApiError for a name that is not among them */
export function demandedTools(tools: readonly Tool[], choice: ToolChoice | null | undefined): Tool[] | undefined {
  if (choice == null || choice === 'auto' || choice === 'none') return undefined;
  if (tools.length === 0) throw new ApiError(400, "'tool_choice' needs 'tools'", { param: 'tool_choice' });
  if (choice === 'required') return [...tools];
  const found = tools.filter((tool) => tool.function.name === choice.function.name);
  if (found.length > 0) return found;
  throw new ApiError(400, `there is no tool '${choice.function.name}'`, { param: 'tool_choice.function.name' });
}

const MOST_CALLS = 8;

/**
 * A call of one of the tools, its arguments by the tool's schema; several, one after the other, only where they were asked for.
 * @throws CupelError for a schema that cannot be enforced
 */
export function callGrammar(tools: readonly Tool[], several = false): string {
  const calls: Schema[] = tools.map(({ function: { name, parameters } }) => ({
    type: 'object',
    properties: { name: { const: name }, arguments: (parameters ?? { type: 'object' }) as Schema },
    required: ['name', 'arguments'],
  }));
  const schema = calls.length === 1 ? calls[0] : { anyOf: calls };
  const grammar = schemaToGbnf(hoistDefinitions(schema, tools), 'tools.function.parameters');
  const more = several ? ` ("\\n" a--call){0,${MOST_CALLS - 1}}` : '';
  // no rule of a schema has two dashes in its name
  return grammar.replace(/^root ::= (.*)$/m, `root ::= a--call${more}\na--call ::= "${OPEN}\\n" $1 "\\n${CLOSE}"`);
}

/** References inside a tool's parameters count from the parameters, here from the whole. */
function hoistDefinitions(schema: Schema, tools: readonly Tool[]): Schema {
  const definitions = tools.flatMap(({ function: { parameters } }) =>
    ['$defs', 'definitions'].flatMap((key) =>
      Object.entries((parameters?.[key] as object) ?? {}).map((each) => [key, each] as const),
    ),
  );
  const hoisted: Record<string, Record<string, unknown>> = {};
  for (const [key, [name, value]] of definitions) hoisted[key] = { ...hoisted[key], [name]: value };
  return { ...(schema as object), ...hoisted } as Schema;
}

export interface ParsedAnswer {
  /** Text outside of calls; null when there is none beside calls. */
  content: string | null;
  calls: ToolCall[];
}

/** Cuts an answer into text and calls. A block that is no call stays text. */
export function parseCalls(text: string, tools: readonly Tool[]): ParsedAnswer {
  const calls: ToolCall[] = [];
  const rest = text.replace(/<tool_call>([\s\S]*?)(?:<\/tool_call>|$)/g, (block, inside: string) => {
    const call = readCall(inside);
    if (!call) return block;
    calls.push(call);
    return '';
  });
  if (calls.length === 0) {
    // Llama 3 writes the bare object
    const bare = /^\s*\{/.test(text) ? readCall(text) : undefined;
    const known = bare && tools.some((tool) => tool.function.name === bare.function.name);
    return known ? { content: null, calls: [bare] } : { content: text, calls };
  }
  return { content: rest.trim() === '' ? null : rest.trim(), calls };
}

export const callId = () => `call_${randomBytes(12).toString('hex')}`;

function readCall(text: string): ToolCall | undefined {
  try {
    const value = JSON.parse(text) as { name?: unknown; arguments?: unknown; parameters?: unknown };
    const given = value.arguments ?? value.parameters;
    if (typeof value.name !== 'string' || typeof given !== 'object' || given === null) return undefined;
    return { id: callId(), type: 'function', function: { name: value.name, arguments: JSON.stringify(given) } };
  } catch {
    return undefined;
  }
}

/** Of a growing answer, what can be sent as text because no call can begin in it. */
export class TextBeforeCalls {
  private text = '';
  private sent = 0;

  push(text: string): string {
    this.text += text;
    if (/^\s*\{/.test(this.text)) return '';
    const at = this.text.indexOf(OPEN);
    const end = at >= 0 ? at : this.text.length - dangling(this.text);
    const part = this.text.slice(this.sent, Math.max(this.sent, end));
    this.sent += part.length;
    return part;
  }

  /** What is left to send when the answer is complete. */
  rest(answer: ParsedAnswer): string {
    if (answer.calls.length > 0) return '';
    return this.text.slice(this.sent);
  }
}

function dangling(text: string): number {
  for (let length = Math.min(OPEN.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(OPEN.slice(0, length))) return length;
  }
  return 0;
}
