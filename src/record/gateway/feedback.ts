// `POST /v1/feedback`: a score or the right answer for an exchange that was recorded.
import { z } from 'zod';
import { type Feedback, newId } from '../exchange.ts';
import { Problem } from './problem.ts';

const Given = z
  .object({
    /** `x-cupel-exchange` of the answer, or the completion's own `id`. */
    id: z.string().min(1).max(200),
    score: z.number().min(-1e6).max(1e6).nullish(),
    /** Text, or an assistant message. */
    corrected: z.union([z.string(), z.looseObject({ role: z.literal('assistant') })]).nullish(),
    comment: z.string().max(10_000).nullish(),
  })
  .refine(({ score, corrected, comment }) => (score ?? corrected ?? comment ?? null) !== null, {
    message: 'give a score, a corrected answer or a comment',
  });

/** @throws Problem 400 naming the field that is wrong */
export function feedbackFrom(body: unknown, keyId: string | null): Feedback {
  if (body === undefined) throw new Problem(400, 'invalid_json', 'the body is not JSON');
  const given = Given.safeParse(body);
  if (!given.success) {
    const { path, message } = given.error.issues[0];
    throw new Problem(400, 'invalid_feedback', path.length > 0 ? `${path.join('.')}: ${message}` : message);
  }
  const { id, score = null, corrected = null, comment = null } = given.data;
  const at = new Date();
  return {
    id: newId('fb', at.getTime()),
    exchange_id: id,
    at: at.toISOString(),
    score,
    corrected,
    comment,
    key_id: keyId,
  };
}
