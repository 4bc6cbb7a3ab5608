// POST /tokenize and /detokenize: text (or a conversation) to token ids and back, as the model sees them.
import type { Context } from 'hono';
import { z } from 'zod';
import { ChatMessage } from '../../chat/messages.ts';
import type { Service } from '../service.ts';
import { readBody } from './body.ts';
import { ApiError } from './errors.ts';
import { refuseLong } from './long-text.ts';

/** `content` as llama-server calls it, `prompt` and `messages` as vLLM does. */
const TokenizeBody = z.looseObject({
  model: z.string().optional(),
  content: z.string().optional(),
  prompt: z.string().optional(),
  messages: z.array(ChatMessage).min(1).optional(),
  tools: z.array(z.unknown()).optional(),
  add_special: z.boolean().optional(),
  parse_special: z.boolean().optional(),
});

export async function tokenizeText(c: Context, service: Service): Promise<Response> {
  const body = await readBody(c, TokenizeBody, service.limits.bodyBytes);
  const { model } = service.models.find(body.model);
  const text = body.content ?? body.prompt;
  if ((text === undefined) === (body.messages === undefined)) {
    throw new ApiError(400, "give 'content' or 'messages'", { param: 'content', code: 'missing_required_parameter' });
  }
  const pieces = body.messages && model.piecesOf(body.messages, body.tools);
  const { contextTokens } = model.engine.info;
  const texts = pieces ? pieces.map((piece) => piece.text) : [text!];
  refuseLong(texts.join(''), contextTokens, pieces ? 'messages' : 'content');
  const tokens = pieces
    ? await model.engine.call({ kind: 'encode', pieces })
    : await model.engine.call({
        kind: 'tokenize',
        text: text!,
        addSpecial: body.add_special ?? false,
        parseSpecial: body.parse_special ?? true,
      });
  return c.json({ tokens, count: tokens.length, max_model_len: contextTokens });
}

const DetokenizeBody = z.looseObject({
  model: z.string().optional(),
  tokens: z.array(z.number().int().nonnegative()),
});

export async function detokenizeIds(c: Context, service: Service): Promise<Response> {
  const body = await readBody(c, DetokenizeBody, service.limits.bodyBytes);
  const { model } = service.models.find(body.model);
  if (body.tokens.some((id) => id >= model.engine.info.vocabSize)) {
    throw new ApiError(400, 'a token id is outside the vocabulary', { param: 'tokens' });
  }
  const content = await model.engine.call({ kind: 'detokenize', tokens: body.tokens });
  return c.json({ content, prompt: content });
}
