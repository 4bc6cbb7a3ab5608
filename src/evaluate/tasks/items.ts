// Items of a task: prompt, choices and right answer of each row, rendered as the task file says.
import { CupelError } from '../../base/errors.ts';
import type { ChatMessage, Example } from '../../chat/messages.ts';
import { type Row, readRows } from './rows.ts';
import type { Task } from './task.ts';

export interface TaskItem {
  id: string;
  /** The whole raw prompt, description and examples before it included. */
  prompt: string;
  /** Of tasks whose rows are conversations: up to the answer. */
  messages?: ChatMessage[];
  choices?: string[];
  /** Index of the right choice. */
  gold?: number;
  target: string;
  /** A recorded answer that came with the row (LawBench's of GPT-4). */
  recorded?: string;
  subject?: string;
}

/** @throws CupelError when data are missing, or a row has no such field */
export async function taskItems(
  task: Task,
  folder: string,
  options: { fewShot?: number; limit?: number } = {},
): Promise<TaskItem[]> {
  const rows = await readRows(folder, task.files.test, task.columns);
  const count = options.fewShot ?? task.fewShot?.count ?? 0;
  const shots = count > 0 && task.files.fewShot ? await readRows(folder, task.files.fewShot, task.columns) : [];
  const labels = [...new Set(rows.map((row) => targetOf(task, row)))].sort().join(', ');
  return rows.slice(0, options.limit).map((row, i) => {
    const item = render(task, { ...row, labels }, i);
    const same = shots.filter((shot) => shot.subject === row.subject).slice(0, count);
    const separator = task.fewShot?.separator ?? '\n\n';
    const examples = same.map((shot) => {
      const { prompt, choices, gold, target } = render(task, { ...shot, labels }, 0);
      return `${prompt}${task.delimiter}${choices ? choices[gold!] : target}${separator}`;
    });
    return { ...item, prompt: fill(task.description, row) + examples.join('') + item.prompt };
  });
}

function render(task: Task, row: Row, index: number): TaskItem {
  const messages = task.messages === undefined ? undefined : (fieldOf(row, task.messages) as ChatMessage[]);
  const answered = messages?.at(-1)?.role === 'assistant';
  const choices = choicesOf(task, row);
  const target = targetOf(task, row);
  return {
    id: String(row.id ?? `${task.name}-${index}`),
    prompt: task.prompt === undefined ? '' : fill(task.prompt, row),
    ...(messages ? { messages: answered ? messages.slice(0, -1) : messages } : {}),
    ...(answered ? { recorded: String(messages!.at(-1)!.content) } : {}),
    ...(choices ? { choices, gold: goldOf(choices, target) } : {}),
    target,
    ...(typeof row.subject === 'string' ? { subject: row.subject } : {}),
  };
}

function choicesOf({ choices }: Task, row: Row): string[] | undefined {
  if (choices === undefined) return undefined;
  if (typeof choices === 'string') return (fieldOf(row, choices) as unknown[]).map(String);
  return choices.map((choice) => fill(choice, row));
}

/** The target as an index, as a letter, or as the choice itself. */
function goldOf(choices: readonly string[], target: string): number {
  const letter = /^\(?([A-Ja-j])\)?$/.exec(target)?.[1];
  const index = choices.includes(target)
    ? choices.indexOf(target)
    : letter
      ? letter.toUpperCase().charCodeAt(0) - 65
      : /^\d+$/.test(target)
        ? Number(target)
        : -1;
  if (index >= 0 && index < choices.length) return index;
  throw new CupelError(`the right answer "${target}" is none of the choices ${choices.join(', ')}`, { exitCode: 2 });
}

function targetOf(task: Task, row: Row): string {
  const text = fill(task.target, row).trim();
  const part = task.targetPattern ? (new RegExp(task.targetPattern, 'su').exec(text)?.[1] ?? text) : text;
  return task.targetNames?.[part] ?? part;
}

function fill(template: string, row: Row): string {
  return template.replace(/\{\{(.+?)\}\}/g, (_, path: string) => String(fieldOf(row, path)).trim());
}

/** `a.0|b`: item 0 of `a`, or else `b`. */
function fieldOf(row: Row, paths: string): unknown {
  for (const path of paths.split('|')) {
    const value = path
      .trim()
      .split('.')
      .reduce<unknown>((inner, name) => (inner as Row | undefined | null)?.[name], row);
    if (value !== undefined && value !== null) return value;
  }
  throw new CupelError(`a row has no field ${paths}`, {
    remedy: `it has ${Object.keys(row).join(', ')}; name the right one in the task file`,
    exitCode: 2,
  });
}

/** Items as rows that `cupel import` takes: the right answer as the assistant's turn (or the recorded one) and as reference. */
export function toExamples(task: Task, items: readonly TaskItem[]): Omit<Example, 'line'>[] {
  return items.map(({ id, prompt, messages, target, choices, gold, recorded, subject }) => {
    const right = choices ? choices[gold!] : target;
    const asked = messages ?? [{ role: 'user' as const, content: prompt }];
    return {
      id,
      messages: [...asked, { role: 'assistant' as const, content: recorded ?? right }],
      reference: right,
      tags: { task: task.name, language: task.language, ...(subject ? { subject } : {}) },
    };
  });
}
