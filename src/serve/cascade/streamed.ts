// A streamed chat completion put together from its chunks, for who records, pays and compares.
import type { TeacherAnswer, TeacherUsage } from './teacher.ts';

interface Call {
  id?: string;
  type?: string;
  function: { name: string; arguments: string };
}

interface CallDelta extends Partial<Omit<Call, 'function'>> {
  index?: number;
  function?: { name?: string; arguments?: string };
}

interface Chunk extends Record<string, unknown> {
  choices?: {
    index?: number;
    delta?: { content?: string | null; tool_calls?: CallDelta[] };
    finish_reason?: string | null;
  }[];
  usage?: TeacherUsage | null;
  error?: { message?: string };
}

export class StreamedAnswer {
  begun = false;
  text = '';
  readonly #calls: Call[] = [];
  #finish: string | undefined;
  #usage: TeacherUsage | undefined;
  #head: Record<string, unknown> = {};

  /** Reads server-sent events to their end. @throws when they end without a reason, or tell of an error */
  async read(bytes: AsyncIterable<Uint8Array>, onChunk: (chunk: object) => void): Promise<void> {
    const decoder = new TextDecoder();
    let rest = '';
    for await (const part of bytes) {
      const lines = (rest + decoder.decode(part, { stream: true })).split(/\r?\n/);
      rest = lines.pop()!;
      for (const line of lines) this.#line(line, onChunk);
    }
    this.#line(rest, onChunk);
    if (this.#finish === undefined) throw new Error('the stream ended before the answer');
  }

  #line(line: string, onChunk: (chunk: object) => void): void {
    const data = /^data: ?(.*)$/.exec(line)?.[1];
    if (data === undefined || data === '' || data === '[DONE]') return;
    const chunk = JSON.parse(data) as Chunk;
    if (chunk.error) throw new Error(chunk.error.message ?? 'an error without a message');
    this.#add(chunk);
    onChunk(chunk);
  }

  #add({ choices = [], usage, ...head }: Chunk): void {
    this.begun = true;
    this.#head = { ...head, ...this.#head };
    if (usage) this.#usage = usage;
    const choice = choices.find(({ index = 0 }) => index === 0);
    this.text += choice?.delta?.content ?? '';
    for (const delta of choice?.delta?.tool_calls ?? []) this.#addCall(delta);
    this.#finish = choice?.finish_reason ?? this.#finish;
  }

  #addCall({ index = 0, function: part, ...rest }: CallDelta): void {
    this.#calls[index] ??= { function: { name: '', arguments: '' } };
    const call = this.#calls[index];
    Object.assign(call, rest);
    call.function.name += part?.name ?? '';
    call.function.arguments += part?.arguments ?? '';
  }

  whole(): TeacherAnswer {
    const calls = this.#calls.filter((call) => call !== undefined);
    const content = this.text === '' && calls.length > 0 ? null : this.text;
    const message = { role: 'assistant', content, ...(calls.length > 0 && { tool_calls: calls }) };
    return {
      ...this.#head,
      object: 'chat.completion',
      choices: [{ message, finish_reason: this.#finish ?? 'stop' }],
      ...(this.#usage && { usage: this.#usage }),
    };
  }

  /** The chunks that a teacher which does not stream would have sent. */
  chunksOf({ choices, usage, ...rest }: TeacherAnswer): object[] {
    const chunk = { ...rest, object: 'chat.completion.chunk' };
    const each = choices.flatMap(({ message, finish_reason }, index) => [
      { ...chunk, choices: [{ index, delta: message, finish_reason: null }] },
      { ...chunk, choices: [{ index, delta: {}, finish_reason }] },
    ]);
    return usage ? [...each, { ...chunk, choices: [], usage }] : each;
  }
}
