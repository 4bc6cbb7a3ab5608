// Recognises the usual event of a stream, a further piece of text in an otherwise unchanged chunk, without parsing all of it.

type Json = Record<string, unknown>;

/** What a further piece of text belongs to. */
export interface Piece {
  /** The choice's `index`. */
  index: number;
  /** The field of its delta, e.g. `content`. */
  name: string;
  text: string;
}

/** A stream whose events differ in more than the text is not looked at again after so many tries. */
const TRIES = 4;

const PROBE = '\u0000probe';

/** Learns from parsed events what surrounds the text, and then needs only the text itself of those that follow. */
export class DeltaTemplate {
  #before = '';
  #after = '';
  #index = 0;
  #name = '';
  #tries = 0;

  /** The text when `data` differs from the learned event in nothing else. */
  piece(data: string): Piece | undefined {
    if (this.#before === '' || !data.startsWith(this.#before) || !data.endsWith(this.#after)) return undefined;
    const text = literal(data.slice(this.#before.length, data.length - this.#after.length));
    return text === undefined ? undefined : { index: this.#index, name: this.#name, text };
  }

  /** Takes an event as an example when all that it brings is one text. */
  learn(data: string, event: Json): void {
    if (this.#tries >= TRIES) return;
    const only = onlyText(event);
    if (!only) return;
    this.#tries++;
    const start = data.indexOf(`"${only.name}":"`, data.indexOf('"delta"')) + only.name.length + 3;
    const end = endOfLiteral(data, start);
    const [before, after] = [data.slice(0, start), data.slice(end)];
    if (!isSame(event, before, after, only)) return;
    [this.#before, this.#after, this.#index, this.#name] = [before, after, only.index, only.name];
  }
}

/** The one text in the delta of the one choice; undefined when the event says anything else that adds up. */
function onlyText({ choices, usage, error }: Json): Piece | undefined {
  const [choice, ...others] = choices as Json[];
  if (!choice || others.length > 0 || usage || error) return undefined;
  const { index = 0, delta, ...rest } = choice;
  if (typeof index !== 'number' || Object.values(rest).some((value) => value !== null)) return undefined;
  const brought = Object.entries((delta ?? {}) as Json).filter(([, value]) => value !== null);
  if (brought.length !== 1 || !TEXTS.has(brought[0][0]) || typeof brought[0][1] !== 'string') return undefined;
  return { index, name: brought[0][0], text: brought[0][1] };
}

const TEXTS = new Set(['content', 'reasoning_content', 'reasoning', 'refusal']);

/** The event is what surrounds the text, with the text put in. */
function isSame(event: Json, before: string, after: string, { name, text }: Piece): boolean {
  try {
    const other = JSON.parse(`${before}${JSON.stringify(PROBE)}${after}`) as { choices: { delta: Json }[] };
    const { delta } = other.choices[0];
    if (delta[name] !== PROBE) return false;
    delta[name] = text;
    return JSON.stringify(other) === JSON.stringify(event);
  } catch {
    return false;
  }
}

/** Position after the string literal that begins at `start`. */
function endOfLiteral(data: string, start: number): number {
  for (let at = start + 1; at < data.length; at++) {
    if (data[at] === '\\') at++;
    else if (data[at] === '"') return at + 1;
  }
  return data.length;
}

/** The value of a text that is one string literal and nothing more. */
function literal(json: string): string | undefined {
  if (json[0] !== '"') return undefined;
  try {
    return JSON.parse(json) as string;
  } catch {
    return undefined;
  }
}
