import { expect, test } from 'vitest';
import { fits, saidIn, sameSaid } from './said.ts';

const call = (name: string, given: string) => ({ function: { name, arguments: given } });
const text = (content: string) => saidIn({ content });

test('the shape that was asked for: a schema, any JSON, or none', () => {
  const schema = { type: 'object', properties: { n: { type: 'integer', minimum: 1 } }, required: ['n'] };
  const asked = { response_format: { type: 'json_schema', json_schema: { schema } } };
  expect(fits(asked, text('{"n": 1}'))).toBe(true);
  for (const wrong of ['{"n": 0}', '{"n": "1"}', '{}', '{"n": 1', 'none']) expect(fits(asked, text(wrong))).toBe(false);
  expect(fits({ response_format: { type: 'json_object' } }, text('{}'))).toBe(true);
  expect(fits({ response_format: { type: 'json_object' } }, text('no'))).toBe(false);
  expect(fits({}, text('no'))).toBe(true);
});

test('schemas with references of either draft', () => {
  const asked = (schema: object) => ({ response_format: { type: 'json_schema', json_schema: { schema } } });
  const old = asked({
    $ref: '#/definitions/pair',
    definitions: { pair: { type: 'array', items: [{ type: 'string' }] } },
  });
  expect(fits(old, text('["a"]'))).toBe(true);
  expect(fits(old, text('[1]'))).toBe(false);
  const now = asked({ $ref: '#/$defs/pair', $defs: { pair: { type: 'array', prefixItems: [{ type: 'string' }] } } });
  expect(fits(now, text('[1]'))).toBe(false);
  expect(fits(asked({ $ref: '#/$defs/nowhere' }), text('1'))).toBe(false);
});

test('calls must be of a tool that was offered, with arguments by its schema', () => {
  const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
  const asked = { tools: [{ function: { name: 'weather', parameters } }] };
  const said = (name: string, given: string) => saidIn({ content: null, tool_calls: [call(name, given)] });
  expect(fits(asked, said('weather', '{"city": "Bonn"}'))).toBe(true);
  expect(fits(asked, said('weather', '{"town": "Bonn"}'))).toBe(false);
  expect(fits(asked, said('news', '{}'))).toBe(false);
});

test('the same is said in other words of JSON, and by calls with the same arguments', () => {
  expect(sameSaid(text('{"a": 1, "b": 2}'), text('{"b":2,"a":1}'))).toBe(true);
  expect(sameSaid(text('yes'), text('no'))).toBe(false);
  const said = (given: string) => saidIn({ content: null, tool_calls: [call('f', given)] });
  expect(sameSaid(said('{"x": 1}'), said('{"x":1}'))).toBe(true);
  expect(sameSaid(said('{"x": 1}'), said('{"x":2}'))).toBe(false);
  expect(sameSaid(said('{}'), text('{}'))).toBe(false);
});
