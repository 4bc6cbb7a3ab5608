// One chat request that a student and its teacher share: who answers, told in the headers.
import type { Context } from 'hono';
import type { Answerer, Cascade, Reason } from '../cascade/cascade.ts';
import { type TeacherAnswer, TeacherAway } from '../cascade/teacher.ts';
import type { GenerateRequest, GenerateResult } from '../engine/protocol.ts';
import type { Target } from '../models.ts';
import { callerOf, type Service } from '../service.ts';

export interface CascadedRequest {
  target: Target;
  body: { messages: readonly object[] };
  request: GenerateRequest;
}

/** Makes responses of either's answer, streaming or not as the caller wishes. */
export interface Rendering {
  student(result: GenerateResult): Response | Promise<Response>;
  teacher(answer: TeacherAnswer): Response | Promise<Response>;
}

export async function cascaded(
  c: Context,
  service: Service,
  cascade: Cascade,
  asked: CascadedRequest,
  rendering: Rendering,
): Promise<Response> {
  const { mode } = cascade.settings;
  const signal = c.req.raw.signal;
  let away = cascade.teacherFirst(callerOf(c)) && cascade.budgetSpent;
  if (cascade.teacherFirst(callerOf(c)) && !away) {
    const answer = await teacherOrNull(cascade, asked, signal);
    if (answer) {
      // the student's turn comes when the caller has its answer; what goes wrong then is nobody's business
      void generate(c, service, asked).then(
        ({ text }) => cascade.compare(text, answer.choices[0].message.content ?? ''),
        () => {},
      );
      return headed(cascade, await rendering.teacher(answer), 'teacher', mode === 'canary' ? 'canary' : 'shadow');
    }
    away = true;
  }
  const result = await generate(c, service, asked);
  const confidence = cascade.confidence(result);
  const student = async (reason: Reason) =>
    headed(cascade, await rendering.student(result), 'student', reason, confidence);
  if (away) return student(cascade.budgetSpent ? 'budget' : 'teacher-away');
  const reason = cascade.keep(confidence);
  if (reason) return student(reason);
  const answer = await teacherOrNull(cascade, asked, signal);
  if (!answer) return student('teacher-away');
  cascade.compare(result.text, answer.choices[0].message.content ?? '');
  return headed(cascade, await rendering.teacher(answer), 'teacher', 'unsure', confidence);
}

async function generate(c: Context, service: Service, { target, request }: CascadedRequest): Promise<GenerateResult> {
  const call = await service.begin(c, target, 1);
  return call.finish(() => call.generate({ ...request, logprobs: request.logprobs ?? 0 }));
}

async function teacherOrNull(
  cascade: Cascade,
  { body }: CascadedRequest,
  signal: AbortSignal,
): Promise<TeacherAnswer | null> {
  try {
    return await cascade.ask(body, signal);
  } catch (error) {
    if (!(error instanceof TeacherAway)) throw error;
    return null;
  }
}

function headed(cascade: Cascade, response: Response, by: Answerer, reason: Reason, confidence?: number): Response {
  cascade.answered(by, reason);
  response.headers.set('x-cupel-answered-by', by);
  response.headers.set('x-cupel-reason', reason);
  if (confidence !== undefined) response.headers.set('x-cupel-confidence', confidence.toFixed(4));
  return response;
}
