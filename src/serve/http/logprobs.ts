// Log probabilities in the two shapes of the OpenAI API: of chat completions and of completions.
import type { TokenReport } from '../engine/protocol.ts';

const text = (bytes: readonly number[]) => Buffer.from(bytes).toString('utf8');

export function chatLogprobs(reports: readonly TokenReport[]) {
  const entry = ({ bytes, logprob }: { bytes: number[]; logprob: number }) => ({ token: text(bytes), logprob, bytes });
  return {
    content: reports.map((report) => ({ ...entry(report), top_logprobs: report.top.map(entry) })),
    refusal: null,
  };
}

/** @param offset characters of the answer before the first of these tokens */
export function completionLogprobs(reports: readonly TokenReport[], offset: number) {
  const tokens = reports.map(({ bytes }) => text(bytes));
  let at = offset;
  return {
    tokens,
    token_logprobs: reports.map(({ logprob }) => logprob),
    top_logprobs: reports.map(({ top }) => Object.fromEntries(top.map((each) => [text(each.bytes), each.logprob]))),
    text_offset: tokens.map((token) => {
      const start = at;
      at += token.length;
      return start;
    }),
  };
}
