// Compiles and renders Jinja chat templates with the functions that templates of the field call.
import { Environment, Interpreter, Template } from '@huggingface/jinja';
import { CupelError } from '../base/errors.ts';
import { formatTime } from './strftime.ts';

/**
 * @param variables what the template sees besides the functions; `now` is the time for `strftime_now`
 * @throws CupelError when the template cannot be read, or refuses these variables
 */
export function renderTemplate(source: string, variables: Record<string, unknown>, now: Date): string {
  const template = compile(source);
  try {
    const environment = new Environment();
    for (const [name, value] of Object.entries({ ...globals(now), ...variables })) environment.set(name, value);
    return (new Interpreter(environment).run(template.parsed) as { value: string }).value;
  } catch (cause) {
    throw new CupelError(`the chat template refuses this conversation: ${(cause as Error).message}`, {
      place: { field: 'messages' },
      remedy: 'check the order of roles and what this model supports (system messages, tools)',
      cause,
    });
  }
}

const COMPILED = new Map<string, Template>();
const MOST_COMPILED = 64;

function compile(source: string): Template {
  const known = COMPILED.get(source);
  if (known) return known;
  try {
    const compiled = new Template(source);
    if (COMPILED.size >= MOST_COMPILED) COMPILED.clear();
    COMPILED.set(source, compiled);
    return compiled;
  } catch (cause) {
    throw new CupelError(`the chat template cannot be read: ${(cause as Error).message}`, {
      place: { field: 'chat_template' },
      remedy: 'use a model file with a Jinja chat template',
      cause,
    });
  }
}

/** The library's own set, with a `strftime_now` that takes its time from outside and knows every common field. */
function globals(now: Date): Record<string, unknown> {
  return {
    true: true,
    false: false,
    none: null,
    True: true,
    False: false,
    None: null,
    range,
    raise_exception: (message: string) => {
      throw new Error(message);
    },
    strftime_now: (format: string) => formatTime(now, format),
  };
}

/** A template comes with a file from somewhere: it may not fill the memory. */
const LONGEST_RANGE = 100_000;

/** Python's `range`. */
function range(first: number, end?: number, step = 1): number[] {
  const [from, to] = end === undefined || end === null ? [0, first] : [first, end];
  if (step === 0) throw new Error('range() needs a step other than 0');
  if (Math.abs(to - from) > LONGEST_RANGE) throw new Error('range() is absurdly long');
  const numbers: number[] = [];
  for (let at = from; step > 0 ? at < to : at > to; at += step) numbers.push(at);
  return numbers;
}
