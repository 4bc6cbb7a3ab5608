// The Go template writes what the Jinja template writes, for the chat templates of several families.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { renderTemplate } from '../chat/render.ts';
import { ollamaTemplate } from './ollama-template.ts';

interface Message {
  role: string;
  content: string;
}

/** The part of Go's text/template that such a template uses. */
function runGo(template: string, messages: readonly Message[]): string {
  const system = messages.some(({ role }) => role === 'system');
  const [, preamble, body, end] =
    /^(.*?)\{\{ range \$i, \$m := \.Messages \}\}(.*)\{\{ end \}\}\{\{ end \}\}(.*)$/s.exec(template)!;
  const start = preamble.replace(/\{\{ if not \.System \}\}(.*?)\{\{ end \}\}/s, (_, text) => (system ? '' : text));
  const branches = [...body.matchAll(/\{\{ (?:else )?if eq \$m\.Role "(\w+)" \}\}(.*?)(?=\{\{ else if eq|$)/gs)];
  const turns = messages.map(({ role, content }, i) => {
    const text = branches.find(([, name]) => name === role)![2];
    return text
      .replace(/\{\{ if or \(ne \$i 1\) \(not \$\.System\) \}\}(.*?)\{\{ end \}\}/s, (_, open) =>
        i !== 1 || !system ? open : '',
      )
      .replace('{{ $m.Content }}', () => content);
  });
  return start + turns.join('') + end;
}

const CHATML =
  "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nDefault.<|im_end|>\\n' }}{% endif %}{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
const references: Record<string, { template: string | null }> = JSON.parse(
  readFileSync(new URL('../../test/reference/tokens.json', import.meta.url), 'utf8'),
);
const TEMPLATES: [string, string, Record<string, string>][] = [
  ['ChatML with a default system message', CHATML, { bos_token: '<|im_start|>' }],
  ['Qwen2.5', references['qwen2.5'].template!, {}],
  ['Gemma 3, system folded into the first turn', references.gemma3.template!, { bos_token: '<bos>' }],
  ['DeepSeek-V2', references.deepseek.template!, { bos_token: '<|begin|>', eos_token: '<|end|>' }],
];
const user = (content: string) => ({ role: 'user', content });
const assistant = (content: string) => ({ role: 'assistant', content });
const system = { role: 'system', content: 'Answer as JSON: {"a": 1}' };
const CONVERSATIONS: Message[][] = [
  [user('hi')],
  [system, user('hi')],
  [user('hi'), assistant('hello'), user('bye')],
  [system, user('你好'), assistant('您好'), user('再见'), assistant('好'), user('?')],
];

describe.each(TEMPLATES)('%s', (_, jinja, variables) => {
  it.each(CONVERSATIONS.map((messages) => [messages.map(({ role }) => role).join(', '), messages] as const))(
    '%s',
    (_, messages) => {
      const rendered = renderTemplate(jinja, { ...variables, messages, add_generation_prompt: true }, new Date());
      expect(runGo(ollamaTemplate(jinja, variables, undefined)!, messages)).toBe(rendered);
      if (!rendered.startsWith(variables.bos_token ?? 'none') || jinja === CHATML) return;
      const without = ollamaTemplate(jinja, variables, variables.bos_token)!;
      expect(variables.bos_token + runGo(without, messages)).toBe(rendered);
    },
  );
});

it('gives up on a template that writes the date', () => {
  const variables = { bos_token: '<|begin_of_text|>' };
  expect(ollamaTemplate(references.llama3.template!, variables, undefined)).toBeUndefined();
});

it('gives up on a template that rewrites messages, or that holds what Go would read as syntax', () => {
  const upper = '{% for m in messages %}{{ m.content | upper }}{% endfor %}';
  expect(ollamaTemplate(upper, {}, undefined)).toBeUndefined();
  const braces = "{% for m in messages %}{{ '{' + '{' + m.content + '|' }}{% endfor %}";
  expect(ollamaTemplate(braces, {}, undefined)).toBeUndefined();
  expect(ollamaTemplate("{{ raise_exception('no') }}", {}, undefined)).toBeUndefined();
});
