// The teacher behind a cascade: one OpenAI-compatible endpoint, asked for a whole answer or a streamed one, within a time limit.
import { StreamedAnswer } from './streamed.ts';

export interface TeacherSettings {
  /** E.g. `https://api.openai.com/v1`. */
  url: string;
  /** In place of the model that the caller named. */
  model: string;
  apiKey?: string;
  /** Until the whole answer is there; of a streamed one, until the first chunk and from each to the next. */
  timeoutMs: number;
}

export interface TeacherUsage {
  prompt_tokens?: number;
  completion_tokens?: number;
  prompt_tokens_details?: { cached_tokens?: number } | null;
}

/** A chat completion as it came. */
export interface TeacherAnswer extends Record<string, unknown> {
  choices: { message: { role: string; content: string | null } & Record<string, unknown>; finish_reason: string }[];
  usage?: TeacherUsage;
}

/** The teacher did not answer: unreachable, too slow, or an error of its own. */
export class TeacherAway extends Error {
  /** It is there, and refused this one request. */
  readonly refused: boolean;

  constructor(message: string, refused = false) {
    super(message);
    this.refused = refused;
  }
}

/** Of a request that another one need not get. */
const REFUSALS = new Set([400, 404, 409, 413, 415, 422]);

/** The teacher broke off in the middle of an answer that the caller has already seen a part of. */
export class TeacherBrokeOff extends Error {
  readonly text: string;

  constructor(text: string, cause: unknown) {
    super(`the teacher broke off: ${(cause as Error).message}`, { cause });
    this.text = text;
  }
}

const MOST_BYTES = 8 * 2 ** 20;

/** @throws TeacherAway; the caller's abort as it is */
export async function askTeacher(settings: TeacherSettings, body: object, signal: AbortSignal): Promise<TeacherAnswer> {
  const { stream: _, stream_options: __, ...asked } = body as { stream?: unknown; stream_options?: unknown };
  try {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(settings.timeoutMs)]);
    return await readWhole(await request(settings, asked, limit));
  } catch (error) {
    if (signal.aborted || error instanceof TeacherAway) throw error;
    throw new TeacherAway((error as Error).message);
  }
}

/**
 * @param onChunk every chunk as it comes, the one with the usage too
 * @returns the answer put together
 * @throws TeacherAway while nothing has come, TeacherBrokeOff afterwards
 */
export async function streamTeacher(
  settings: TeacherSettings,
  body: object,
  signal: AbortSignal,
  onChunk: (chunk: object) => void,
): Promise<TeacherAnswer> {
  const late = new AbortController();
  const timer = setTimeout(
    () => late.abort(new Error(`nothing came for ${settings.timeoutMs} ms`)),
    settings.timeoutMs,
  );
  const answer = new StreamedAnswer();
  try {
    const asked = { ...body, stream: true, stream_options: { include_usage: true } };
    const response = await request(settings, asked, AbortSignal.any([signal, late.signal]));
    if (!(response.headers.get('content-type') ?? '').includes('event-stream')) {
      const whole = await readWhole(response);
      for (const chunk of answer.chunksOf(whole)) onChunk(chunk);
      return whole;
    }
    await answer.read(limited(response), (chunk) => {
      timer.refresh();
      onChunk(chunk);
    });
    return answer.whole();
  } catch (error) {
    if (answer.begun) throw new TeacherBrokeOff(answer.text, error);
    if (signal.aborted || error instanceof TeacherAway) throw error;
    throw new TeacherAway((error as Error).message);
  } finally {
    clearTimeout(timer);
  }
}

/** What only the student understands; many endpoints refuse fields that they do not know. */
const UNKNOWN_TO_TEACHERS = {
  top_k: undefined,
  min_p: undefined,
  repeat_penalty: undefined,
  repetition_penalty: undefined,
  ignore_eos: undefined,
  guided_choice: undefined,
};

async function request({ url, model, apiKey }: TeacherSettings, body: object, signal: AbortSignal): Promise<Response> {
  const response = await fetch(`${url.replace(/\/+$/, '')}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(apiKey && { authorization: `Bearer ${apiKey}` }) },
    body: JSON.stringify({ ...body, ...UNKNOWN_TO_TEACHERS, model }),
    signal,
  });
  if (response.ok) return response;
  await response.body?.cancel();
  throw new TeacherAway(`the teacher answered ${response.status}`, REFUSALS.has(response.status));
}

async function readWhole(response: Response): Promise<TeacherAnswer> {
  const parts: Uint8Array[] = [];
  for await (const part of limited(response)) parts.push(part);
  const answer = JSON.parse(Buffer.concat(parts).toString('utf8')) as TeacherAnswer;
  if (typeof answer?.choices?.[0]?.message !== 'object') throw new TeacherAway('the teacher answered without a choice');
  return answer;
}

async function* limited(response: Response): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const part of response.body ?? []) {
    size += part.length;
    if (size > MOST_BYTES) throw new TeacherAway("the teacher's answer is too long");
    yield part;
  }
}
