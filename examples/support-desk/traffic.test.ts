// The bundled example keeps what its README says: enough rows, distinct messages, answers that follow the guideline.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

interface Row {
  id: string;
  messages: { role: string; content: string }[];
}
const read = (name: string): Row[] =>
  readFileSync(join(import.meta.dirname, name), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
const traffic = read('traffic.jsonl');
const held = read('test.jsonl');
const rows = [...traffic, ...held];

function wordFourGrams(text: string): Set<string> {
  const words = text.toLowerCase().match(/[\p{L}\p{N}']+/gu) ?? [];
  if (words.length < 4) return new Set([words.join(' ')]);
  return new Set(words.slice(3).map((_, i) => words.slice(i, i + 4).join(' ')));
}

test('there are at least 700 conversations, 200 of them held out, each with an id of its own', () => {
  expect(traffic.length).toBeGreaterThanOrEqual(500);
  expect(held.length).toBeGreaterThanOrEqual(200);
  expect(new Set(rows.map((row) => row.id)).size).toBe(rows.length);
});

test('no two messages share more than half of their word 4-grams', () => {
  const grams = rows.map((row) => wordFourGrams(row.messages[1].content));
  const alike: string[] = [];
  for (let i = 0; i < rows.length; i++) {
    for (let j = 0; j < i; j++) {
      const shared = [...grams[i]].filter((gram) => grams[j].has(gram)).length;
      if (shared > Math.min(grams[i].size, grams[j].size) / 2) alike.push(`${rows[i].id} ${rows[j].id}`);
    }
  }
  expect(alike).toEqual([]);
});

test('every answer is the JSON of the guideline, and an order number in it stands in the message', () => {
  const intents = new Set<string>();
  for (const { id, messages } of rows) {
    const [system, user, assistant] = messages;
    const answer = JSON.parse(assistant.content);
    expect(Object.keys(answer), id).toEqual(['intent', 'urgency', 'order_id']);
    expect(system.content, id).toContain(answer.intent);
    expect(['low', 'normal', 'high'], id).toContain(answer.urgency);
    if (answer.order_id !== null) {
      expect(answer.order_id, id).toMatch(/^WX-\d{5}$/);
      expect(user.content.replace(/\D/g, ''), id).toContain(answer.order_id.slice(3));
    }
    intents.add(answer.intent);
  }
  expect(intents.size).toBeGreaterThanOrEqual(12);
});
