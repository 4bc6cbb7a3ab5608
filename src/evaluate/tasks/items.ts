// Items of a task: prompt, choices and right answer of each row, rendered as the task file says.
import { existsSync, statSync } from 'node:fs';
import { z } from 'zod';
import { CupelError, type ErrorPlace } from '../../base/errors.ts';
import { ChatMessage, type Example } from '../../chat/messages.ts';
import { allMatches } from './limited.ts';
import { PLACE, type Row, readRows } from './rows.ts';
import type { Task } from './task.ts';

export interface TaskItem {
  id: string;
  /** The whole raw prompt, description and examples before it included. */
  prompt: string;
  /** Of tasks whose rows are conversations: up to the answer. */
  messages?: ChatMessage[];
  choices?: string[];
  /** Index of the right choice; of several right ones the first, and all. */
  gold?: number;
  golds?: number[];
  target: string;
  /** A recorded answer that came with the row (LawBench's of GPT-4). */
  recorded?: string;
  subject?: string;
}

/** @throws CupelError when data are missing, a row has no such field, or examples are asked for that are not there */
export async function taskItems(
  task: Task,
  folder: string,
  options: { fewShot?: number; limit?: number } = {},
): Promise<TaskItem[]> {
  const rows = (await readRows(folder, task.files.test, task.columns)).map(
    (row): Row => ({ ...row, subjectName: subjectName(task, row.subject) }),
  );
  if (rows.length === 0) throw new CupelError('there is no item in the data', { place: { file: folder }, exitCode: 2 });
  const count = options.fewShot ?? task.fewShot?.count ?? 0;
  const alone = existsSync(folder) && statSync(folder).isFile();
  if (options.fewShot && (alone || !task.files.fewShot)) throw noExamples(task, folder);
  const shots =
    count > 0 && task.files.fewShot && !alone ? await readRows(folder, task.files.fewShot, task.columns) : [];
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

function noExamples({ name, files }: Task, folder: string): CupelError {
  const wanted = files.fewShot?.join(' or ');
  return new CupelError(`${name} has no examples to put before an item`, {
    place: { file: folder, field: '--few-shot' },
    remedy: wanted ? `give the folder that also holds ${wanted}` : 'name their files in the task file: files.fewShot',
    exitCode: 2,
  });
}

function subjectName({ subjectNames }: Task, subject: unknown): string | undefined {
  return typeof subject === 'string' ? (subjectNames?.[subject] ?? subject.replaceAll('_', ' ')) : undefined;
}

function render(task: Task, row: Row, index: number): TaskItem {
  const messages = task.messages === undefined ? undefined : messagesOf(row, task.messages);
  const answered = messages?.at(-1)?.role === 'assistant';
  const choices = choicesOf(task, row);
  const target = targetOf(task, row);
  const golds = choices && goldsOf(choices, target, row[PLACE]);
  // numbers start again in each subject
  const number = row.id === undefined ? undefined : [row.subject, row.id].filter((part) => part !== undefined);
  return {
    id: number?.join('-') ?? `${task.name}-${index}`,
    prompt: task.prompt === undefined ? '' : fill(task.prompt, row),
    ...(messages ? { messages: answered ? messages.slice(0, -1) : messages } : {}),
    ...(answered ? { recorded: String(messages!.at(-1)!.content) } : {}),
    ...(choices && golds ? { choices, gold: golds[0], ...(golds.length > 1 ? { golds } : {}) } : {}),
    target,
    ...(typeof row.subject === 'string' ? { subject: row.subject } : {}),
  };
}

function messagesOf(row: Row, field: string): ChatMessage[] {
  const found = z.array(ChatMessage).min(1).safeParse(fieldOf(row, field));
  if (found.success) return found.data;
  throw new CupelError('not a conversation', {
    place: { ...row[PLACE], field },
    remedy: 'write a list such as [{"role": "user", "content": "…"}]',
    exitCode: 2,
  });
}

function choicesOf({ choices }: Task, row: Row): string[] | undefined {
  if (choices === undefined) return undefined;
  if (typeof choices === 'string') {
    const list = fieldOf(row, choices);
    if (Array.isArray(list) && list.length > 0) return list.map(String);
    throw new CupelError('not a list of choices', { place: { ...row[PLACE], field: choices }, exitCode: 2 });
  }
  return choices.map((choice) => fill(choice, row));
}

/** AGIEval has items with several right choices: `0,2` or `A,C`. */
function goldsOf(choices: readonly string[], target: string, place?: ErrorPlace): number[] {
  const several = !choices.includes(target) && /^(?:\d+|[A-Ja-j])(?:,(?:\d+|[A-Ja-j]))+$/.test(target);
  return several ? target.split(',').map((part) => goldOf(choices, part, place)) : [goldOf(choices, target, place)];
}

/** The target as an index, as a letter, or as the choice itself. */
function goldOf(choices: readonly string[], target: string, place?: ErrorPlace): number {
  const letter = /^\(?([A-Ja-j])\)?$/.exec(target)?.[1];
  const index = choices.includes(target)
    ? choices.indexOf(target)
    : letter
      ? letter.toUpperCase().charCodeAt(0) - 65
      : /^\d+$/.test(target)
        ? Number(target)
        : -1;
  if (index >= 0 && index < choices.length) return index;
  throw new CupelError(`the right answer "${target}" is none of the choices ${choices.join(', ')}`, {
    place,
    remedy: 'write it as its number from 0, as its letter, or as the choice itself',
    exitCode: 2,
  });
}

function targetOf(task: Task, row: Row): string {
  const text = fill(task.target, row).trim();
  const part = task.targetPattern ? (allMatches(task.targetPattern, text)[0]?.[1] ?? text) : text;
  return task.targetNames?.[part] ?? part;
}

function fill(template: string, row: Row): string {
  return template.replace(/\{\{(.+?)\}\}/g, (_, path: string) => String(fieldOf(row, path)));
}

/** One name of a path, or what is made of a value at its end. */
function step(inner: unknown, name: string): unknown {
  if (inner === undefined || inner === null) return undefined;
  if (name === 'trim' && typeof inner === 'string') return inner.trim();
  if (name === 'join' && Array.isArray(inner)) return inner.join(' ');
  if (name === 'lastLetter' && Array.isArray(inner)) return String.fromCharCode(64 + inner.length);
  return (inner as Row)[name];
}

/** `a.0|b`: item 0 of `a`, or else `b`; `a|`: or else nothing. */
function fieldOf(row: Row, paths: string): unknown {
  for (const path of paths.split('|')) {
    if (path.trim() === '') return '';
    const value = path.trim().split('.').reduce<unknown>(step, row);
    if (value !== undefined && value !== null) return value;
  }
  throw new CupelError(`a row has no field ${paths}`, {
    place: row[PLACE],
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
