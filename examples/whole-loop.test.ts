import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { writeTinyStudent } from '../test/tiny-student.ts';
import { wholeLoop } from './whole-loop.ts';

const THINGS = 'apple brick cloud daisy eagle flute grape horse igloo jelly koala lemon mango night ocean piano'.split(
  ' ',
);
const COLOURS = ['red', 'blue', 'green'];

test('the example goes from traffic to a served model, and says honestly that a toy is not proven', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cupel-whole-loop-'));
  const traces = join(folder, 'traces.jsonl');
  const student = join(folder, 'tiny.gguf');
  writeTinyStudent(student);
  const rows = THINGS.flatMap((thing, i) =>
    THINGS.slice(0, 5).map((other, j) => ({
      messages: [
        { role: 'user', content: `${thing} ${other}` },
        { role: 'assistant', content: COLOURS[(i + j) % 3] },
      ],
    })),
  );
  writeFileSync(traces, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const training = { steps: 5, rank: 2, batchTokens: 128 };
  const loop = { traces, student, workspace: join(folder, 'workspace'), training };
  const { verdict, server, model } = await wholeLoop(loop);
  try {
    expect(verdict.verdict).toBe('not proven');
    expect(verdict.quality?.n).toBeGreaterThan(5);
    const response = await fetch(`${server.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: server.model,
        messages: [{ role: 'user', content: 'apple brick' }],
        max_tokens: 4,
      }),
    });
    expect(response.status).toBe(200);
    const body = (await response.json()) as { usage: { completion_tokens: number } };
    expect(body.usage.completion_tokens).toBeGreaterThan(0);
  } finally {
    await server.close();
  }
  const again = await wholeLoop(loop);
  await again.server.close();
  expect(again.model).toBe(model);
  expect(again.verdict).toEqual(verdict);
});
