// Training ids equal what serving sees: prompt, answer, end of turn.
import { expect, it } from 'vitest';
import { encodeConversation } from './conversation-tokens.ts';
import type { ChatMessage } from './messages.ts';
import { type ChatTokenizer, encodeChat } from './template.ts';

const END = 10_002;
/** Letters are ids; two newlines in a row are one token, as in real vocabularies. */
const tokenizer: ChatTokenizer = {
  encode: (text) => (text.match(/\n\n|./gsu) ?? []).map((part) => (part === '\n\n' ? 1 : part.codePointAt(0)!)),
  specialTokens: new Map([
    ['<s>', 10_001],
    ['<e>', END],
  ]),
  addedTokens: new Map(),
  endIds: [END],
  templateVariables: {},
};
const TEMPLATE =
  "{% for m in messages %}{{ '<s>' + m.role + '\n' + m.content + '<e>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<s>assistant\n' }}{% endif %}";
const text = (ids: readonly number[]) =>
  ids.map((id) => (id === 1 ? '\n\n' : id > 9_999 ? '#' : String.fromCodePoint(id))).join('');

it('marks each answer with its end of turn and nothing else', () => {
  const messages: ChatMessage[] = [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: 'first' },
    { role: 'user', content: 'b' },
    { role: 'assistant', content: 'second' },
  ];
  const { ids, answers } = encodeConversation(TEMPLATE, tokenizer, messages);
  expect(answers.map(({ start, end }) => text(ids.slice(start, end)))).toEqual(['first#', 'second#']);
  expect(ids[ids.length - 1]).toBe(END);
});

it('begins with exactly the prompt that serving sends, though the answer could merge with it', () => {
  const messages: ChatMessage[] = [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: '\nanswer' },
  ];
  const prompt = encodeChat(TEMPLATE, tokenizer, messages.slice(0, 1), { addGenerationPrompt: true });
  const { ids, answers } = encodeConversation(TEMPLATE, tokenizer, messages);
  expect(ids.slice(0, prompt.length)).toEqual(prompt);
  expect(text(ids.slice(answers[0].start))).toBe('\nanswer#');
});

it('falls back to plain text and an end token where the template writes past answers otherwise', () => {
  const template =
    "{% for m in messages %}{{ m.role + ':' + m.content|upper + ';' }}{% endfor %}{% if add_generation_prompt %}A>{% endif %}";
  const { ids, answers } = encodeConversation(template, tokenizer, [
    { role: 'user', content: 'q' },
    { role: 'assistant', content: 'yes' },
  ]);
  expect(text(ids)).toBe('user:Q;A>yes#');
  expect(answers).toEqual([{ start: 9, end: 13 }]);
});
