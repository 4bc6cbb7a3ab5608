// Chat templates: a conversation becomes token ids exactly as the model was taught, and user text never becomes a control token.
import type { ChatMessage } from './messages.ts';
import { renderTemplate } from './render.ts';
import { Disguise, StringFinder } from './special-strings.ts';
import { foldTools, type TemplateMessage, templateMessages } from './template-messages.ts';

/** What this needs of a tokenizer; `Tokenizer` of formats/ fits. */
export interface ChatTokenizer {
  encode(text: string): number[];
  readonly specialTokens: ReadonlyMap<string, number>;
  readonly addedTokens: ReadonlyMap<string, number>;
  readonly endIds: readonly number[];
  readonly templateVariables: Readonly<Record<string, string>>;
}

/** A stretch of plain text (to be encoded without looking for control tokens) or one control token. */
export type ChatPiece = { text: string; id?: undefined } | { text: string; id: number };

export interface ChatTemplateOptions {
  /** Ends with the opening of an assistant turn. */
  addGenerationPrompt?: boolean;
  /** Tool definitions as the OpenAI API writes them. */
  tools?: readonly unknown[];
  /** Further variables of the template, e.g. `{ enable_thinking: false }`. */
  variables?: Record<string, unknown>;
  /** What `strftime_now` takes for now. */
  now?: Date;
}

/**
 * Token ids of a conversation; equal to transformers' `apply_chat_template` for text that spells no control tokens.
 * @throws CupelError when the template refuses the conversation
 */
export function encodeChat(
  template: string,
  tokenizer: ChatTokenizer,
  messages: readonly ChatMessage[],
  options: ChatTemplateOptions = {},
): number[] {
  return encodePieces(tokenizer, chatPieces(template, tokenizer, messages, options));
}

/** Ids of pieces: text runs are encoded one by one, control tokens stand for themselves. */
export function encodePieces(tokenizer: ChatTokenizer, pieces: readonly ChatPiece[]): number[] {
  return pieces.flatMap((piece) => (piece.id === undefined ? tokenizer.encode(piece.text) : piece.id));
}

/** The conversation as the template writes it, cut at the control tokens that the template itself wrote. */
export function chatPieces(
  template: string,
  tokenizer: ChatTokenizer,
  messages: readonly ChatMessage[],
  options: ChatTemplateOptions = {},
): ChatPiece[] {
  const folded = foldTools(template, templateMessages(template, messages), options.tools);
  const disguise = new Disguise([template, JSON.stringify(folded)]);
  const guards = guardsOf(tokenizer, template);
  const hidden = {
    messages: folded.messages.map((message) => hideIn(message, guards, disguise)),
    tools: folded.tools && hideSpecials(folded.tools, guards.control, disguise),
  };
  const variables = {
    ...tokenizer.templateVariables,
    ...options.variables,
    ...(hidden.tools ? { tools: hidden.tools } : {}),
    messages: hidden.messages,
    add_generation_prompt: options.addGenerationPrompt ?? false,
  };
  const rendered = renderTemplate(template, variables, options.now ?? new Date());
  return cutAtControls(rendered, tokenizer, guards.control, disguise);
}

interface Guards {
  /** Control tokens: hidden in whatever a message holds. */
  control: StringFinder;
  /** Control tokens, and ordinary added tokens that the template gives a meaning, such as `<tool_call>`: hidden in what users and tools say. */
  untrusted: StringFinder;
}

function guardsOf(tokenizer: ChatTokenizer, template: string): Guards {
  const cached = GUARDS.get(tokenizer)?.get(template);
  if (cached) return cached;
  const control = [...tokenizer.specialTokens.keys()];
  // added tokens without a letter (runs of spaces and newlines) are spelling, not syntax
  const syntax = [...tokenizer.addedTokens.keys()].filter((token) => /\p{L}/u.test(token) && template.includes(token));
  const guards = { control: new StringFinder(control), untrusted: new StringFinder([...control, ...syntax]) };
  const byTemplate = GUARDS.get(tokenizer) ?? new Map<string, Guards>();
  GUARDS.set(tokenizer, byTemplate.set(template, guards));
  return guards;
}

const GUARDS = new WeakMap<ChatTokenizer, Map<string, Guards>>();

function hideIn(message: TemplateMessage, guards: Guards, disguise: Disguise): TemplateMessage {
  const trusted = message.role === 'system' || message.role === 'developer' || message.role === 'assistant';
  const { role, ...rest } = message;
  return { role, ...hideSpecials(rest, trusted ? guards.control : guards.untrusted, disguise) };
}

/** Replaces every forbidden word in every string of a value, and the beginning of one at a string's end. */
function hideSpecials<T>(value: T, finder: StringFinder, disguise: Disguise): T {
  if (typeof value === 'string') return hideInText(value, finder, disguise) as T;
  if (Array.isArray(value)) return value.map((item) => hideSpecials(item, finder, disguise)) as T;
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      hideInText(key, finder, disguise),
      hideSpecials(inner, finder, disguise),
    ]),
  ) as T;
}

function hideInText(text: string, finder: StringFinder, disguise: Disguise): string {
  const hidden = finder
    .split(text)
    .map((part) => (part.found ? disguise.hide(part.text) : part.text))
    .join('');
  // "<|im_" at the end could be completed by what the template writes next
  const dangling = finder.danglingStart(hidden);
  return dangling === 0 ? hidden : hidden.slice(0, -dangling) + disguise.hide(hidden.slice(-dangling));
}

/** Control tokens in the rendered text are the template's own; then the hidden words return as plain text. */
function cutAtControls(
  rendered: string,
  tokenizer: ChatTokenizer,
  control: StringFinder,
  disguise: Disguise,
): ChatPiece[] {
  const pieces: ChatPiece[] = [];
  const addText = (text: string, joined: boolean) => {
    const last = pieces[pieces.length - 1];
    if (joined && last && last.id === undefined) pieces[pieces.length - 1] = { text: last.text + text };
    else if (text !== '') pieces.push({ text });
  };
  for (const part of control.split(rendered)) {
    if (part.found) pieces.push({ text: part.text, id: tokenizer.specialTokens.get(part.text)! });
    else restore(part.text, tokenizer, disguise, addText);
  }
  return pieces;
}

/** An added token that must stay plain text is cut after its first letter, so that no encoder sees it whole. */
function restore(
  text: string,
  tokenizer: ChatTokenizer,
  disguise: Disguise,
  add: (text: string, joined: boolean) => void,
): void {
  let joined = false;
  for (const run of text.split(/([\uE000-\uF8FF])/)) {
    const original = disguise.reveal(run) ?? run;
    if (original !== run && tokenizer.addedTokens.has(original)) {
      add(original.slice(0, 1), joined);
      add(original.slice(1), false);
    } else {
      add(original, joined);
    }
    joined = true;
  }
}
