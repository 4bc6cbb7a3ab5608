// Redaction against the corpus: all that is secret goes, all that only looks so stays, and pseudonyms are consistent.
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { LOOK_ALIKES, POSITIVES } from '../../../test/redaction-corpus.ts';
import { CupelError } from '../../base/errors.ts';
import { loadRedactionKey } from './key.ts';
import { type RedactionCounts, Redactor } from './redactor.ts';

const key = Buffer.alloc(32, 7);
const redactor = new Redactor({ key });
const redact = (text: string, by = redactor) => {
  const counts: RedactionCounts = {};
  return { text: by.text(text, counts), counts };
};
const folder = mkdtempSync(join(tmpdir(), 'cupel-redact-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The part of a secret that must not be left: a token keeps its prefix, a URL its user. */
const core = (secret: string) => secret.slice(-6);

describe('corpus', () => {
  test('has at least 200 positives and 200 look-alikes, none of them twice', () => {
    const texts = POSITIVES.map(({ text, secret }) => text.replace('…', secret));
    expect(texts.length).toBeGreaterThanOrEqual(200);
    expect(LOOK_ALIKES.length).toBeGreaterThanOrEqual(200);
    expect(new Set(texts).size).toBe(texts.length);
    expect(new Set(LOOK_ALIKES).size).toBe(LOOK_ALIKES.length);
  });

  test('every positive is found, as what it is, and nothing of it is left', () => {
    const missed = POSITIVES.filter(({ kind, text, secret }) => {
      const { text: after, counts } = redact(text.replace('…', secret));
      return counts[kind] !== 1 || Object.keys(counts).length !== 1 || after.includes(core(secret));
    });
    expect(
      missed.map(({ kind, text, secret }) => [kind, text.replace('…', secret), redact(text.replace('…', secret))]),
    ).toEqual([]);
  });

  test('the words around a secret stay', () => {
    for (const { text, secret } of POSITIVES) {
      const [before, after] = text.split('…');
      const { text: redacted } = redact(text.replace('…', secret));
      expect(redacted.startsWith(before)).toBe(true);
      expect(redacted.endsWith(after)).toBe(true);
    }
  });

  test('every look-alike stays as it is', () => {
    const wrong = LOOK_ALIKES.filter((text) => redact(text).text !== text);
    expect(wrong.map((text) => [text, redact(text)])).toEqual([]);
  });

  test('redacting twice changes nothing more', () => {
    for (const { text, secret } of POSITIVES) {
      const once = redact(text.replace('…', secret)).text;
      expect(redact(once)).toEqual({ text: once, counts: {} });
    }
  });
});

describe('pseudonyms', () => {
  test('are the same for the same secret in another spelling', () => {
    const phone = (text: string) => redact(text).text.replace(/\D/g, '').slice(-9);
    expect(phone('+86 138 0013 8000')).toBe(phone('+8613800138000'));
    const mail = (text: string) => redact(text).text;
    expect(mail('Ann.Lee@Corp-Mail.com')).toBe(mail('ann.lee@corp-mail.com'));
    expect(mail('ann.lee@corp-mail.com')).not.toBe(mail('ann.lea@corp-mail.com'));
  });

  test('keep the shape, so that training still makes sense', () => {
    expect(redact('4111 1111 1111 1111').text).toMatch(/^0\d{3} \d{4} \d{4} \d{4}$/);
    expect(redact('+86 138 0013 8000').text).toMatch(/^\+86 \d{3} \d{4} \d{4}$/);
    expect(redact('mail a.b@gmail.com now').text).toMatch(/^mail user-\w{8}@example\.com now$/);
  });

  test('depend on the key', () => {
    const other = new Redactor({ key: Buffer.alloc(32, 8) });
    expect(redact('a.b@gmail.com', other).text).not.toBe(redact('a.b@gmail.com').text);
  });
});

test('values are redacted through and through; images, ids and roles are left', () => {
  const image = `data:image/png;base64,${'13800138000'.repeat(5)}`;
  const value = {
    role: 'user',
    model: 'a.b@gmail.com',
    content: [
      { type: 'text', text: 'call 13800138000' },
      { type: 'image_url', image_url: { url: image } },
    ],
    n: 1732531200000,
    none: null,
  };
  const counts: RedactionCounts = {};
  const redacted = redactor.value(value, counts);
  expect(counts).toEqual({ phone: 1 });
  expect(redacted.content[0].text).not.toContain('13800138000');
  expect({ ...redacted, content: [value.content[0], redacted.content[1]] }).toEqual(value);
});

test('JSON within a string, as tool calls have it, stays JSON', () => {
  const args = JSON.stringify({ to: 'a.b@gmail.com', phone: '13800138000', password: 'abc"d123\\x9' });
  const { text, counts } = redact(args);
  expect(Object.keys(JSON.parse(text))).toEqual(['to', 'phone', 'password']);
  expect(counts).toMatchObject({ email: 1, phone: 1 });
});

test('escapes within a text are no letters, and JSON that is written with them stays JSON', () => {
  const args = JSON.stringify({ note: 'call\n13800138000\tor write\nann.lee@corp-mail.com', 密码: 'Wo2AiBeijing' });
  const escaped = args.replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  for (const text of [args, escaped, JSON.stringify(args)]) {
    const counts: RedactionCounts = {};
    const after = redactor.value(text, counts);
    expect(after).not.toMatch(/13800138000|ann\.lee|Wo2Ai/);
    expect(counts).toEqual({ phone: 1, email: 1, secret: 1 });
    expect(() => JSON.parse(after)).not.toThrow();
  }
});

test("numbers and names of fields are somebody's too; a number stays a number, and once is enough", () => {
  const counts: RedactionCounts = {};
  const value = {
    phone: 13800138000,
    card: 4111111111111111,
    at: 1732531200,
    ms: 1732531200000,
    'ann.lee@corp-mail.com': 1,
    db: { password: 'Tr0ub4dor' },
  };
  const after = redactor.value(value, counts);
  expect(counts).toEqual({ phone: 1, card: 1, email: 1, secret: 1 });
  expect(JSON.stringify(after)).not.toMatch(/13800138000|4111111111111111|ann|Tr0ub/);
  expect([typeof after.phone, typeof after.card, after.at, after.ms]).toEqual([
    'number',
    'number',
    1732531200,
    1732531200000,
  ]);
  expect(redactor.value(after, {})).toEqual(after);
});

test('log-probabilities do not spell the secret once more', () => {
  const tokens = ['Write', ' to', ' ann', '.lee', '@corp', '-mail', '.com', '!'];
  const item = (token: string) => ({
    token,
    logprob: -1,
    bytes: [...Buffer.from(token)],
    top_logprobs: [{ token, logprob: -1 }],
  });
  const whole = { content: tokens.join(''), logprobs: { content: tokens.map(item) } };
  const after = redactor.value(whole, {});
  expect(after.logprobs.content.map(({ token }) => token).join('')).toBe(after.content);
  expect(JSON.stringify(after)).not.toMatch(/lee|corp/);
  expect(after.logprobs.content[0]).toEqual(item('Write'));
  const lists = {
    tokens,
    token_logprobs: tokens.map(() => -1),
    top_logprobs: tokens.map((token) => ({ [token]: -1 })),
  };
  const old = redactor.value({ logprobs: lists }, {}).logprobs;
  expect(old.tokens.join('')).toBe(after.content);
  expect(JSON.stringify(old)).not.toMatch(/lee|corp/);
  const clean = { logprobs: { content: tokens.slice(0, 2).map(item) } };
  expect(redactor.value(clean, {})).toEqual(clean);
});

test('what spells prompt or answer as ids, or with the likely tokens in no order, is not kept', () => {
  const likely = {
    39: { logprob: -0.1, rank: 1, decoded_token: 'ann' },
    7: { logprob: -3, rank: 2, decoded_token: 'bob' },
  };
  const named = [{ token: 'token_id:39', logprob: -0.1, bytes: [97, 110, 110], top_logprobs: [] }];
  const vllm = {
    prompt_token_ids: [1, 39],
    prompt_logprobs: [null, likely],
    choices: [
      { message: { content: 'hello there' }, token_ids: [39, 2], logprobs: { content: named } },
      {
        text: 'hi',
        logprobs: { tokens: ['token_id:39'], token_logprobs: [-1], top_logprobs: [{ 'token_id:39': -1 }] },
      },
    ],
    segments: [{ text: 'hello there', tokens: [50364, 2425] }],
  };
  expect(redactor.value(vllm, {})).toEqual({
    prompt_token_ids: null,
    prompt_logprobs: null,
    choices: [
      { message: { content: 'hello there' }, token_ids: null, logprobs: { content: null } },
      { text: 'hi', logprobs: { tokens: null, token_logprobs: [-1], top_logprobs: null } },
    ],
    segments: [{ text: 'hello there', tokens: null }],
  });
  const given = { prompt: [1, 2, 3], input: [[4, 5]], stop: [], tokens: ['a', 'b'], content: [] };
  expect(redactor.value(given, {})).toEqual(given);
});

describe('custom patterns', () => {
  test('are replaced whole, consistently and once', () => {
    const own = new Redactor({ key, custom: [{ name: 'employee', pattern: 'E-\\d{6}' }] });
    const { text, counts } = redact('E-123456 asks E-123456 about E-654321', own);
    expect(counts).toEqual({ employee: 3 });
    expect(text).toMatch(/^(\[employee-\w{8}\]) asks \1 about \[employee-\w{8}\]$/);
    expect(redact(text, own).counts).toEqual({});
  });

  test.each(['(', ''])('that are wrong are refused: %j', (pattern) => {
    expect(() => new Redactor({ key, custom: [{ name: 'x', pattern }] })).toThrow(CupelError);
  });
});

test('no text makes it slow', () => {
  const texts = [
    '1'.repeat(50_000),
    'a@'.repeat(25_000),
    '138 '.repeat(12_000),
    '+1('.repeat(15_000),
    'a.'.repeat(25_000),
    '1-'.repeat(25_000),
  ];
  const before = process.cpuUsage().user;
  for (const text of texts) redact(text);
  // quadratic work on these would take minutes
  expect(process.cpuUsage().user - before).toBeLessThan(20e6);
});

test('the key is made once, for its owner only, and may be given', () => {
  const made = loadRedactionKey(folder, undefined);
  expect(loadRedactionKey(folder, undefined)).toEqual(made);
  expect(statSync(join(folder, 'redaction.key')).mode & 0o077).toBe(0);
  expect(loadRedactionKey(folder, 'ab'.repeat(32))).toEqual(Buffer.alloc(32, 0xab));
  expect(() => loadRedactionKey(folder, 'short')).toThrow(CupelError);
});
