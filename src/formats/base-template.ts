// The form of conversations for base models that have none: that of their family's instruction-tuned siblings.
import type { Checkpoint } from './checkpoint.ts';

/** Each with the control tokens that a vocabulary must have for it. */
const FORMS: readonly { tokens: readonly [start: string, end: string]; template: string }[] = [
  {
    // https://ai.google.dev/gemma/docs/core/prompt-structure: two roles; a system message opens the first user turn
    tokens: ['<start_of_turn>', '<end_of_turn>'],
    template: [
      '{{ bos_token }}',
      "{%- if messages[0]['role'] == 'system' -%}",
      "{%- set opening = messages[0]['content'] + '\n\n' -%}{%- set turns = messages[1:] -%}",
      "{%- else -%}{%- set opening = '' -%}{%- set turns = messages -%}{%- endif -%}",
      '{%- for message in turns -%}',
      "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else 'user') + '\n' }}",
      "{{- (opening if loop.first else '') + (message['content'] | trim) + '<end_of_turn>\n' -}}",
      '{%- endfor -%}',
      "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}",
    ].join(''),
  },
  {
    // ChatML (https://github.com/openai/openai-python/blob/v0.28.1/chatml.md)
    tokens: ['<|im_start|>', '<|im_end|>'],
    template: [
      '{%- for message in messages -%}',
      "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}",
      '{%- endfor -%}',
      "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}",
    ].join(''),
  },
];

/** What conversations are trained in: the model's own template, or one that its vocabulary has the tokens for. */
export function trainingTemplate(model: Checkpoint): string | undefined {
  if (model.chatTemplate !== undefined) return model.chatTemplate;
  const { specialTokens, addedTokens } = model.tokenizer;
  const knows = (token: string) => specialTokens.has(token) || addedTokens.has(token);
  return FORMS.find(({ tokens }) => tokens.every(knows))?.template;
}

/** The model with that template as its own. */
export function withTemplate(model: Checkpoint): Checkpoint {
  const chatTemplate = trainingTemplate(model);
  if (chatTemplate === model.chatTemplate) return model;
  return Object.defineProperty(Object.create(model) as Checkpoint, 'chatTemplate', {
    value: chatTemplate,
    enumerable: true,
  });
}
