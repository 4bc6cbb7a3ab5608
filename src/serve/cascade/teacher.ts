// The teacher behind a cascade: one OpenAI-compatible endpoint, asked without streaming, within a time limit.

export interface TeacherSettings {
  /** E.g. `https://api.openai.com/v1`. */
  url: string;
  /** In place of the model that the caller named. */
  model: string;
  apiKey?: string;
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
export class TeacherAway extends Error {}

const MOST_BYTES = 8 * 2 ** 20;

/** @throws TeacherAway; the caller's abort as it is */
export async function askTeacher(
  { url, model, apiKey, timeoutMs }: TeacherSettings,
  body: object,
  signal: AbortSignal,
): Promise<TeacherAnswer> {
  const { stream: _, stream_options: __, ...asked } = body as { stream?: unknown; stream_options?: unknown };
  try {
    const response = await fetch(`${url.replace(/\/+$/, '')}/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(apiKey && { authorization: `Bearer ${apiKey}` }) },
      body: JSON.stringify({ ...asked, model }),
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    });
    const text = await readLimited(response);
    if (!response.ok) throw new TeacherAway(`the teacher answered ${response.status}`);
    const answer = JSON.parse(text) as TeacherAnswer;
    if (typeof answer?.choices?.[0]?.message !== 'object')
      throw new TeacherAway('the teacher answered without a choice');
    return answer;
  } catch (error) {
    if (signal.aborted || error instanceof TeacherAway) throw error;
    throw new TeacherAway((error as Error).message);
  }
}

async function readLimited(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of response.body ?? []) {
    size += part.length;
    if (size > MOST_BYTES) throw new TeacherAway("the teacher's answer is too long");
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}
