// `response_format` of a request as the grammar its answer must match.
import { z } from 'zod';
import { anyObjectGbnf, schemaToGbnf } from '../grammar/json-schema.ts';
import type { Schema } from '../grammar/schema.ts';

export const ResponseFormat = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('text') }),
  z.looseObject({ type: z.literal('json_object') }),
  z.looseObject({
    type: z.literal('json_schema'),
    json_schema: z.looseObject({
      name: z.string().optional(),
      strict: z.boolean().nullish(),
      schema: z.union([z.record(z.string(), z.unknown()), z.boolean()]).optional(),
    }),
  }),
]);
export type ResponseFormat = z.infer<typeof ResponseFormat>;

const MOST_REMEMBERED = 64;
const remembered = new Map<string, string>();

/** @throws CupelError for a schema that cannot be enforced */
export function grammarOf(format: ResponseFormat | null | undefined): string | undefined {
  if (!format || format.type === 'text') return undefined;
  if (format.type === 'json_object') return anyObjectGbnf();
  const schema = (format.json_schema.schema ?? {}) as Schema;
  const key = JSON.stringify(schema);
  const known = remembered.get(key);
  if (known !== undefined) return known;
  const grammar = schemaToGbnf(schema, 'response_format.json_schema.schema');
  if (remembered.size >= MOST_REMEMBERED) remembered.delete(remembered.keys().next().value!);
  remembered.set(key, grammar);
  return grammar;
}
