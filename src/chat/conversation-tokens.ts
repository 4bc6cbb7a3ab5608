// Token ids of a whole conversation for training, with the stretches that the assistant wrote.
import type { ChatMessage } from './messages.ts';
import { messageText } from './messages.ts';
import { type ChatPiece, type ChatTemplateOptions, type ChatTokenizer, chatPieces, encodePieces } from './template.ts';

export interface TokenSpan {
  start: number;
  /** Exclusive. */
  end: number;
}

export interface ConversationTokens {
  /** Ends with the token that ends the last answer. */
  ids: number[];
  /** Where the loss goes: each answer with its end-of-turn token. The last span is the last message. */
  answers: TokenSpan[];
}

/**
 * The ids that serving sees: the prompt exactly as `encodeChat(…, { addGenerationPrompt: true })` gives it, then the answer, then
 * the end of the turn. Earlier answers are spans too where their ids stand unchanged in the whole.
 * @param messages ends with the assistant's answer
 */
export function encodeConversation(
  template: string,
  tokenizer: ChatTokenizer,
  messages: readonly ChatMessage[],
  options: ChatTemplateOptions = {},
): ConversationTokens {
  const turn = (index: number) => encodeTurn(template, tokenizer, messages.slice(0, index + 1), options);
  const last = turn(messages.length - 1);
  const ids = [...last.prompt, ...last.answer];
  const answers: TokenSpan[] = [];
  for (let index = 0; index < messages.length - 1; index++) {
    if (messages[index].role !== 'assistant') continue;
    const { prompt, answer } = turn(index);
    const same = [...prompt, ...answer].every((id, at) => ids[at] === id);
    if (same && answer.length > 0) answers.push({ start: prompt.length, end: prompt.length + answer.length });
  }
  answers.push({ start: last.prompt.length, end: ids.length });
  return { ids, answers };
}

function encodeTurn(
  template: string,
  tokenizer: ChatTokenizer,
  messages: readonly ChatMessage[],
  options: ChatTemplateOptions,
): { prompt: number[]; answer: number[] } {
  const before = chatPieces(template, tokenizer, messages.slice(0, -1), { ...options, addGenerationPrompt: true });
  const whole = chatPieces(template, tokenizer, messages, { ...options, addGenerationPrompt: false });
  // a template may write a past answer unlike a fresh one (thinking left out): then the answer is its plain text
  const rest = afterPrefix(whole, before) ?? [{ text: messageText(messages[messages.length - 1]) }];
  return { prompt: encodePieces(tokenizer, before), answer: untilEnd(rest, tokenizer) };
}

/** The pieces of `whole` that follow `prefix`, or undefined when it does not begin so. */
function afterPrefix(whole: readonly ChatPiece[], prefix: readonly ChatPiece[]): ChatPiece[] | undefined {
  for (const [at, piece] of prefix.entries()) {
    const other = whole[at];
    if (!other || other.id !== piece.id) return undefined;
    if (other.text === piece.text) continue;
    const isLast = at === prefix.length - 1 && piece.id === undefined;
    if (!isLast || !other.text.startsWith(piece.text)) return undefined;
    return [{ text: other.text.slice(piece.text.length) }, ...whole.slice(at + 1)];
  }
  return whole.slice(prefix.length);
}

/** Ids up to and with the first token that ends an answer; one is added where the template writes none. */
function untilEnd(pieces: readonly ChatPiece[], tokenizer: ChatTokenizer): number[] {
  const end = pieces.findIndex((piece) => piece.id !== undefined && tokenizer.endIds.includes(piece.id));
  if (end >= 0) return encodePieces(tokenizer, pieces.slice(0, end + 1));
  return [...encodePieces(tokenizer, pieces), ...tokenizer.endIds.slice(0, 1)];
}
