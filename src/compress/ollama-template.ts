// An Ollama TEMPLATE (Go text/template) from a Jinja chat template: found by rendering marked messages and cutting at the marks.
import { renderTemplate } from '../chat/render.ts';

interface Marked {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

/** What a template writes around messages. */
interface Turns {
  /** Before the first message when there is no system message: nothing, or a default one. */
  preamble: string;
  user: [before: string, after: string];
  assistant: [before: string, after: string];
  /** Begins an answer that is yet to come; DeepSeek's lacks the space of earlier answers. */
  opening: string;
  /** Undefined when the template refuses system messages. `folded`: the first user's opening is part of it. */
  system?: { around: [before: string, after: string]; folded: boolean };
}

const SYSTEM = 'QsystemQ';
const FIRST = 'QfirstQ';
const ANSWER = 'QanswerQ';
const SECOND = 'QsecondQ';
const user = (content: string): Marked => ({ role: 'user', content });
const answer: Marked = { role: 'assistant', content: ANSWER };

/**
 * @param variables what the Jinja template sees besides the messages, such as `bos_token`
 * @param bos written by Ollama itself, and so left out; undefined when Ollama does not
 * @returns undefined when the template does more than put something around each message
 */
export function ollamaTemplate(
  jinja: string,
  variables: Readonly<Record<string, unknown>>,
  bos: string | undefined,
): string | undefined {
  const turnsAt = (now: Date) =>
    findTurns((messages, open) => {
      try {
        const text = renderTemplate(jinja, { ...variables, messages, add_generation_prompt: open }, now);
        return bos !== undefined && text.startsWith(bos) ? text.slice(bos.length) : text;
      } catch {
        return undefined;
      }
    });
  const turns = turnsAt(new Date(0));
  // a template that writes the date cannot stand still
  if (!turns || JSON.stringify(turns) !== JSON.stringify(turnsAt(new Date(1e12)))) return undefined;
  // what Go or the Modelfile would read as syntax cannot be written plainly
  const texts = [turns.preamble, turns.opening, ...turns.user, ...turns.assistant, ...(turns.system?.around ?? [])];
  return texts.some((text) => /\{\{|"""/.test(text)) ? undefined : goTemplate(turns);
}

type Render = (messages: readonly Marked[], open: boolean) => string | undefined;

function findTurns(render: Render): Turns | undefined {
  const asked = render([user(FIRST)], false);
  const opened = render([user(FIRST)], true);
  const answered = render([user(FIRST), answer], false);
  const again = render([user(FIRST), answer, user(SECOND)], true);
  if (asked === undefined || opened === undefined || answered === undefined || again === undefined) return undefined;
  const closing = after(asked, FIRST);
  const opening = without(after(opened, FIRST), closing);
  const answerEnd = after(answered, ANSWER);
  const userStart = without(between(again, ANSWER, SECOND), answerEnd);
  const preamble = withoutEnd(before(asked, FIRST), userStart);
  if (closing === undefined || opening === undefined || answerEnd === undefined) return undefined;
  if (userStart === undefined || preamble === undefined) return undefined;
  const answerStart = without(between(again, FIRST, ANSWER), closing);
  if (answerStart === undefined) return undefined;
  const turns: Turns = { preamble, user: [userStart, closing], assistant: [answerStart, answerEnd], opening };
  const rest = [FIRST, closing, answerStart, ANSWER, answerEnd, userStart, SECOND, closing, opening];
  if ([preamble, userStart, ...rest].join('') !== again) return undefined;
  const system = render([{ role: 'system', content: SYSTEM }, user(FIRST)], true);
  return system === undefined ? turns : withSystem(turns, system);
}

function withSystem(turns: Turns, text: string): Turns | undefined {
  const start = before(text, SYSTEM);
  const middle = between(text, SYSTEM, FIRST);
  if (start === undefined || middle === undefined) return turns;
  const end = withoutEnd(middle, turns.user[0]);
  return { ...turns, system: { around: [start, end ?? middle], folded: end === undefined } };
}

function goTemplate({ preamble, user: asks, assistant, opening, system }: Turns): string {
  const start = preamble === '' ? '' : system ? `{{ if not .System }}${preamble}{{ end }}` : preamble;
  const first = system?.folded ? `{{ if or (ne $i 1) (not $.System) }}${asks[0]}{{ end }}` : asks[0];
  const roles = [
    ...(system ? [['system', ...system.around]] : []),
    ['user', first, asks[1]],
    ['assistant', ...assistant],
  ];
  const branches = roles.map(([role, open, close], i) => {
    const test = `{{ ${i > 0 ? 'else ' : ''}if eq $m.Role "${role}" }}`;
    return `${test}${open}{{ $m.Content }}${close}`;
  });
  return `${start}{{ range $i, $m := .Messages }}${branches.join('')}{{ end }}{{ end }}${opening}`;
}

function before(text: string, mark: string): string | undefined {
  const at = text.indexOf(mark);
  return at < 0 ? undefined : text.slice(0, at);
}

function after(text: string, mark: string): string | undefined {
  const at = text.indexOf(mark);
  return at < 0 ? undefined : text.slice(at + mark.length);
}

function between(text: string, left: string, right: string): string | undefined {
  const rest = after(text, left);
  return rest === undefined ? undefined : before(rest, right);
}

function without(text: string | undefined, start: string | undefined): string | undefined {
  return text !== undefined && start !== undefined && text.startsWith(start) ? text.slice(start.length) : undefined;
}

function withoutEnd(text: string | undefined, end: string | undefined): string | undefined {
  if (text === undefined || end === undefined || !text.endsWith(end)) return undefined;
  return text.slice(0, text.length - end.length);
}
