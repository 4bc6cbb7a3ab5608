// One chat request that a student and its teacher share: who answers, told in the headers.
import type { Context } from 'hono';
import { AGREEMENT_TEMPERATURE } from '../../chat/confidence.ts';
import type { Answerer, Cascade, Reason } from '../cascade/cascade.ts';
import type { Asked, Said } from '../cascade/said.ts';
import { type TeacherAnswer, TeacherAway, TeacherBrokeOff } from '../cascade/teacher.ts';
import type { GenerateRequest, GenerateResult } from '../engine/protocol.ts';
import type { Target } from '../models.ts';
import { callerOf, type Service } from '../service.ts';
import { ApiError } from './errors.ts';

export interface CascadedRequest {
  target: Target;
  body: Asked & { messages: readonly object[] };
  request: GenerateRequest;
}

/** Makes responses of either's answer, streaming or not as the caller wishes. */
export interface Rendering {
  /** Text and tool calls of the student's answer. */
  said(result: GenerateResult): Said;
  student(result: GenerateResult): Response | Promise<Response>;
  teacher(answer: TeacherAnswer): Response;
  /** Where the caller wants a stream: passes the teacher's chunks on as they come. */
  relay?: (produce: (send: (chunk: object) => void) => Promise<void>) => Promise<Response>;
}

interface StudentAnswer {
  result: GenerateResult;
  said: Said;
  confidence: number;
}

export function cascaded(
  c: Context,
  service: Service,
  cascade: Cascade,
  asked: CascadedRequest,
  rendering: Rendering,
): Promise<Response> {
  service.checkOpen();
  return service.during(asked.target, () => answered(c, service, cascade, asked, rendering));
}

async function answered(
  c: Context,
  service: Service,
  cascade: Cascade,
  asked: CascadedRequest,
  rendering: Rendering,
): Promise<Response> {
  const { mode } = cascade.settings;
  const answerOf = () => studentAnswer(c, service, cascade, asked, rendering);
  const teacher = (then: (answer: TeacherAnswer) => void) => teacherOrNull(c, service, cascade, asked, rendering, then);
  let away = cascade.teacherFirst(callerOf(c)) && cascade.budgetSpent;
  if (cascade.teacherFirst(callerOf(c)) && !away) {
    const response = await teacher((answer) => {
      // the student's turn comes when the caller has its answer; what goes wrong then is nobody's business
      void answerOf().then(
        ({ said }) => cascade.compare(said, answer),
        () => {},
      );
    });
    if (response) return headed(cascade, response, 'teacher', mode === 'canary' ? 'canary' : 'shadow');
    away = true;
  }
  const { result, said, confidence } = await answerOf();
  const student = async (reason: Reason) =>
    headed(cascade, await rendering.student(result), 'student', reason, confidence);
  if (away) return student(cascade.budgetSpent ? 'budget' : 'teacher-away');
  const reason = cascade.keep(confidence);
  if (reason) return student(reason);
  const response = await teacher((answer) => cascade.compare(said, answer));
  return response ? headed(cascade, response, 'teacher', 'unsure', confidence) : student('teacher-away');
}

/** The student's answer, with further ones drawn beside it where the confidence counts on their agreement. */
async function studentAnswer(
  c: Context,
  service: Service,
  cascade: Cascade,
  { target, body, request }: CascadedRequest,
  rendering: Rendering,
): Promise<StudentAnswer> {
  const seeds = Array.from({ length: cascade.samples }, (_, i) => i + 1);
  const call = await service.begin(c, target);
  const [result, ...others] = await call.finish(() =>
    Promise.all([
      call.generate({ ...request, logprobs: request.logprobs ?? 0 }),
      ...seeds.map((seed) => {
        const sampling = { ...request.sampling, temperature: AGREEMENT_TEMPERATURE, seed };
        return call.generate({ ...request, logprobs: undefined, sampling });
      }),
    ]),
  );
  const said = rendering.said(result);
  const texts = others.map(({ text }) => text);
  return { result, said, confidence: cascade.confidence(body, result, said, texts) };
}

/** @param then called when the teacher's answer is complete */
async function teacherOrNull(
  c: Context,
  service: Service,
  cascade: Cascade,
  { target, body }: CascadedRequest,
  { relay, teacher }: Rendering,
  then: (answer: TeacherAnswer) => void,
): Promise<Response | null> {
  const ask = (send?: (chunk: object) => void) =>
    service.during(target, (stopped) => cascade.ask(body, AbortSignal.any([c.req.raw.signal, stopped]), send));
  try {
    if (relay) return await relay(async (send) => then(await ask(send).catch(tellCaller)));
    const answer = await ask();
    then(answer);
    return teacher(answer);
  } catch (error) {
    if (!(error instanceof TeacherAway)) throw error;
    return null;
  }
}

function tellCaller(error: unknown): never {
  if (error instanceof TeacherBrokeOff) throw new ApiError(503, error.message, { code: 'teacher_broke_off' });
  throw error;
}

/** Sets the headers that tell who answered and why, and counts it. */
export function headed(
  cascade: Cascade,
  response: Response,
  by: Answerer,
  reason: Reason,
  confidence?: number,
): Response {
  cascade.answered(by, reason);
  response.headers.set('x-cupel-answered-by', by);
  response.headers.set('x-cupel-reason', reason);
  if (confidence !== undefined) response.headers.set('x-cupel-confidence', confidence.toFixed(4));
  return response;
}
