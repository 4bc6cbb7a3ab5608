// POST /v1/embeddings: the mean of the last hidden states, of length 1.
import type { Context } from 'hono';
import { z } from 'zod';
import type { Service } from '../service.ts';
import { readBody } from './body.ts';
import { ApiError } from './errors.ts';
import { refuseLong } from './long-text.ts';

const MOST_INPUTS = 256;

const token = z.number().int().nonnegative();
const EmbeddingsBody = z.looseObject({
  model: z.string().optional(),
  input: z.union([
    z.string().min(1),
    z.array(z.string().min(1)).min(1).max(MOST_INPUTS),
    z.array(token).min(1),
    z.array(z.array(token).min(1)).min(1).max(MOST_INPUTS),
  ]),
  encoding_format: z.enum(['float', 'base64']).nullish(),
  dimensions: z.null('other dimensions are not supported').optional(),
});

export async function embeddings(c: Context, service: Service): Promise<Response> {
  const body = await readBody(c, EmbeddingsBody, service.limits.bodyBytes);
  const target = service.models.find(body.model);
  const call = await service.begin(c, target);
  return call.finish(async () => {
    const { engine } = target.model;
    const texts = inputsOf(body.input);
    for (const text of texts) if (typeof text === 'string') refuseLong(text, engine.info.contextTokens, 'input');
    const inputs: number[][] = [];
    // one after the other: between two calls the engine goes on with what others asked
    for (const text of texts) {
      const whole = { kind: 'tokenize', addSpecial: true, parseSpecial: false } as const;
      inputs.push(typeof text === 'string' ? await engine.call({ ...whole, text }) : text);
    }
    const unknown = inputs.findIndex((tokens) => tokens.some((id) => id >= engine.info.vocabSize));
    if (unknown >= 0) {
      throw new ApiError(400, `a token id is outside the vocabulary of ${engine.info.vocabSize}`, { param: 'input' });
    }
    const data = [];
    for (const [index, tokens] of inputs.entries()) {
      const [values] = await engine.call({ kind: 'embed', inputs: [tokens] });
      const embedding = body.encoding_format === 'base64' ? asBase64(values) : Array.from(values);
      data.push({ object: 'embedding', index, embedding });
    }
    const prompt_tokens = inputs.reduce((sum, tokens) => sum + tokens.length, 0);
    return c.json({
      object: 'list',
      model: target.name,
      data,
      usage: { prompt_tokens, total_tokens: prompt_tokens },
    });
  });
}

type Input = string | number[];

function inputsOf(input: z.infer<typeof EmbeddingsBody>['input']): Input[] {
  if (typeof input === 'string') return [input];
  return typeof input[0] === 'number' ? [input as number[]] : (input as Input[]);
}

/** Little-endian floats, as OpenAI's clients ask for them. */
const asBase64 = (values: Float32Array) =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');
