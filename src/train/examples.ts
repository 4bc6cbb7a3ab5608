// Examples become samples: the token ids that serving will see, with the assistant's tokens marked.
import { encodeConversation } from '../chat/conversation-tokens.ts';
import type { Example } from '../chat/messages.ts';
import type { ChatTokenizer } from '../chat/template.ts';
import type { Sample } from './sample.ts';

export interface Samples {
  readonly samples: readonly Sample[];
  /** Lines of the conversations that were left out because they have more than `maxTokens` tokens. */
  readonly tooLong: readonly number[];
}

/** @throws CupelError when the chat template refuses a conversation */
export function toSamples(
  examples: readonly Example[],
  template: string,
  tokenizer: ChatTokenizer,
  maxTokens: number,
): Samples {
  const samples: Sample[] = [];
  const tooLong: number[] = [];
  for (const { messages, tools, line } of examples) {
    const { ids, answers } = encodeConversation(template, tokenizer, messages, { tools });
    if (ids.length > maxTokens) tooLong.push(line);
    else samples.push({ ids: Int32Array.from(ids), answers: answers.filter(({ start }) => start > 0) });
  }
  return { samples, tooLong };
}
