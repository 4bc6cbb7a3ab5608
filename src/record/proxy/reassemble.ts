// Puts a streamed completion together again: what the same request would have returned without `stream`.
import { DeltaTemplate, type Piece } from './delta.ts';

type Json = Record<string, unknown>;

/** Collects the chunks of a chat or text completion; any other stream is kept as the list of its events. */
export class Reassembly {
  #head: Json | undefined;
  #choices = new Map<number, Json>();
  #usage: unknown;
  #other: unknown[] = [];
  /** Events of other APIs that bring pieces of a text, by the part that they belong to. */
  #parts = new Map<string, Json>();
  #ended = false;
  #begun = false;
  #error: unknown;
  #template = new DeltaTemplate();

  /** Data of one event. Text that is not JSON is kept among the other events. */
  add(data: string): void {
    if (data === '[DONE]') {
      this.#ended = true;
      return;
    }
    const piece = this.#template.piece(data);
    if (piece) this.#addPiece(piece);
    else this.#addEvent(data);
  }

  #addEvent(data: string): void {
    let event: Json;
    try {
      event = JSON.parse(data) as Json;
    } catch {
      this.#other.push(data);
      return;
    }
    if (
      Array.isArray(event?.choices) &&
      event.choices.every((choice) => choice !== null && typeof choice === 'object')
    ) {
      this.#addChunk(event);
      this.#template.learn(data, event);
    } else this.#addOther(event);
  }

  /** The stream said `[DONE]`. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Something of the answer has come: text, reasoning or a call, not only the head. */
  get begun(): boolean {
    return this.#begun;
  }

  /** An event said that the upstream failed in the middle. */
  get failed(): boolean {
    return this.#error !== undefined;
  }

  get result(): unknown {
    if (this.#head) return this.#completion();
    // the responses API ends with an event that holds the whole response
    const last = this.#other.at(-1) as Json | undefined;
    if (last?.response && typeof last.response === 'object') return last.response;
    return this.#other.length > 0 ? { events: this.#other } : null;
  }

  /** Pieces of one part become one event: no secret that is split over them may pass as harmless pieces. */
  #addOther(event: Json): void {
    const part = partOf(event);
    const before = part === undefined ? undefined : this.#parts.get(part);
    if (before) {
      for (const name of PIECES) if (name in event) before[name] = merge(before[name], event[name]);
    } else {
      this.#other.push(event);
      if (part !== undefined) this.#parts.set(part, event);
    }
    this.#error ??= event?.error ?? undefined;
    this.#begun ||= event?.delta !== undefined;
  }

  #addPiece({ index, name, text }: Piece): void {
    const message = this.#choices.get(index)!.message as Json;
    message[name] = ((message[name] as string | null) ?? '') + text;
    this.#begun ||= text !== '';
  }

  #addChunk(event: Json): void {
    const { choices, usage, object, ...rest } = event;
    this.#error ??= event.error ?? undefined;
    this.#head ??= { ...rest, object: object === 'chat.completion.chunk' ? 'chat.completion' : object };
    if (usage) this.#usage = usage;
    for (const choice of choices as Json[]) this.#addChoice(choice);
  }

  #addChoice({ index = 0, delta, ...rest }: Json): void {
    const choice = this.#choices.get(index as number) ?? { index };
    this.#begun ||= Boolean(rest.text) || Object.entries(delta ?? {}).some(([name, value]) => name !== 'role' && value);
    this.#choices.set(index as number, choice);
    if (delta) choice.message = merge(choice.message, delta);
    for (const [name, value] of Object.entries(rest)) {
      if (name === 'finish_reason' || name === 'stop_reason') choice[name] = value ?? choice[name] ?? null;
      else choice[name] = merge(choice[name], value);
    }
  }

  #completion(): Json {
    const choices = [...this.#choices.values()].sort((a, b) => (a.index as number) - (b.index as number));
    for (const choice of choices) dropIndexes(choice.message as Json | undefined);
    const error = this.#error === undefined ? {} : { error: this.#error };
    return { ...this.#head, choices, ...(this.#usage ? { usage: this.#usage } : {}), ...error };
  }
}

/** Fields of an event that add up. */
const PIECES = ['delta', 'logprobs'];

/** What an event with a `delta` continues, in the responses API (text) and Anthropic's (an object with a type). */
function partOf(event: Json): string | undefined {
  const delta = event?.delta;
  if (delta === undefined || delta === null) return undefined;
  const kind = typeof delta === 'object' ? (delta as Json).type : typeof delta;
  return JSON.stringify([event.type, kind, ...PLACES.map((name) => event[name])]);
}

const PLACES = ['item_id', 'output_index', 'content_index', 'summary_index', 'index'];

const WHOLE = new Set(['role', 'id', 'type', 'name', 'object']);

/** Text is appended, lists of numbered parts are merged by their `index`, other lists joined, objects merged by name. */
function merge(old: unknown, add: unknown, name = ''): unknown {
  if (add === null || add === undefined) return old ?? add;
  if (old === null || old === undefined) return Array.isArray(add) ? mergeList([], add) : structuredClone(add);
  if (typeof add === 'string' && typeof old === 'string') return WHOLE.has(name) ? add || old : old + add;
  if (Array.isArray(add) && Array.isArray(old)) return mergeList(old, add);
  if (typeof add === 'object' && typeof old === 'object') return mergeObject(old as Json, add as Json);
  return add;
}

function mergeObject(old: Json, add: Json): Json {
  for (const [name, value] of Object.entries(add)) old[name] = merge(old[name], value, name);
  return old;
}

function mergeList(old: unknown[], add: unknown[]): unknown[] {
  for (const item of add) {
    const index = (item as Json | null)?.index;
    const at = typeof index === 'number' ? old.findIndex((known) => (known as Json).index === index) : -1;
    if (at >= 0) old[at] = merge(old[at], item);
    else old.push(structuredClone(item));
  }
  return old;
}

/** Tool calls are numbered only in streams. */
function dropIndexes(message: Json | undefined): void {
  if (!Array.isArray(message?.tool_calls)) return;
  message.tool_calls = (message.tool_calls as Json[])
    .sort((a, b) => Number(a.index ?? 0) - Number(b.index ?? 0))
    .map(({ index: _, ...call }) => call);
}
