// Base models learn conversations in the form that their vocabulary has tokens for; a template of their own is kept.
import { expect, test } from 'vitest';
import { renderTemplate } from '../chat/render.ts';
import { trainingTemplate, withTemplate } from './base-template.ts';
import type { Checkpoint } from './checkpoint.ts';

const model = (tokens: string[], chatTemplate?: string) =>
  ({
    path: 'base.gguf',
    chatTemplate,
    tokenizer: { specialTokens: new Map(tokens.map((token, id) => [token, id])), addedTokens: new Map() },
  }) as unknown as Checkpoint;

const GEMMA = ['<bos>', '<start_of_turn>', '<end_of_turn>'];
const CHATML = ['<|im_start|>', '<|im_end|>'];
const messages = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: ' hello ' },
  { role: 'assistant', content: 'hi' },
];
const render = (template: string, turns: object[], add_generation_prompt: boolean) =>
  renderTemplate(template, { messages: turns, bos_token: '<bos>', add_generation_prompt }, new Date(0));

test("Gemma's form: two roles, the system message within the first turn of the user", () => {
  const template = trainingTemplate(model(GEMMA))!;
  expect(render(template, messages, false)).toBe(
    '<bos><start_of_turn>user\nBe brief.\n\nhello<end_of_turn>\n<start_of_turn>model\nhi<end_of_turn>\n',
  );
  expect(render(template, messages.slice(1, 2), true)).toBe(
    '<bos><start_of_turn>user\nhello<end_of_turn>\n<start_of_turn>model\n',
  );
});

test('ChatML where its tokens are there', () => {
  const template = trainingTemplate(model(CHATML))!;
  expect(render(template, messages.slice(0, 2), true)).toBe(
    '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n hello <|im_end|>\n<|im_start|>assistant\n',
  );
});

test('a template of its own is kept, and without the tokens there is none', () => {
  const own = model(GEMMA, 'own');
  expect(trainingTemplate(own)).toBe('own');
  expect(withTemplate(own)).toBe(own);
  expect(trainingTemplate(model(['<s>', '<end_of_turn>']))).toBeUndefined();
});

test('the model given a template is otherwise the same', () => {
  const base = model(CHATML);
  const given = withTemplate(base);
  expect(given.chatTemplate).toMatch(/im_start/);
  expect(given.path).toBe('base.gguf');
  expect(base.chatTemplate).toBeUndefined();
});
