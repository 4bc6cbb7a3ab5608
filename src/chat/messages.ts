// Conversations as the OpenAI chat API writes them, and the rows the stages pass on.
import { z } from 'zod';

export const ToolCall = z.looseObject({
  id: z.string().optional(),
  type: z.literal('function').default('function'),
  function: z.looseObject({ name: z.string().min(1), arguments: z.string() }),
});

export const ContentPart = z.looseObject({ type: z.string(), text: z.string().optional() });

export const ChatMessage = z.looseObject({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']),
  content: z.union([z.string(), z.array(ContentPart), z.null()]).optional(),
  name: z.string().optional(),
  tool_calls: z.array(ToolCall).optional(),
  tool_call_id: z.string().optional(),
});
export type ChatMessage = z.infer<typeof ChatMessage>;

export const Usage = z.looseObject({
  prompt_tokens: z.number().int().nonnegative(),
  completion_tokens: z.number().int().nonnegative(),
  total_tokens: z.number().int().nonnegative().optional(),
  prompt_tokens_details: z.looseObject({ cached_tokens: z.number().int().nonnegative().optional() }).nullish(),
  completion_tokens_details: z.looseObject({ reasoning_tokens: z.number().int().nonnegative().optional() }).nullish(),
});
export type Usage = z.infer<typeof Usage>;

/** One recorded conversation; its last message is the teacher's answer. What `import` writes and later stages read. */
export interface Example {
  id: string;
  messages: ChatMessage[];
  tools?: unknown[];
  /** The teacher's model name, as recorded. */
  model?: string;
  usage?: Usage;
  /** The right answer, where somebody knows it. */
  reference?: string;
  /** Free labels for slices (language, intent) and headers. */
  tags?: Record<string, string>;
  /** Line in the file it came from, from 1. */
  line: number;
}

/** The text of a message: a string as it is, text parts joined; images and tool calls have no text. */
export function messageText(message: ChatMessage): string {
  if (typeof message.content === 'string') return message.content;
  return (message.content ?? []).map((part) => part.text ?? '').join('');
}

/** The conversation up to, and without, the teacher's last answer. */
export function promptOf(example: Example): ChatMessage[] {
  return example.messages.slice(0, -1);
}

/** The teacher's last answer as text. */
export function answerOf(example: Example): string {
  return messageText(example.messages[example.messages.length - 1]);
}
