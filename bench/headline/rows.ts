// The headline's conversations: short prompts for the student, the teacher's own answers, and the right ones as references.
import { Random } from '../../src/base/random.ts';
import type { Example } from '../../src/chat/messages.ts';
import { messageText } from '../../src/chat/messages.ts';
import type { TaskItem } from '../../src/evaluate/tasks/items.ts';
import { scoreRecorded } from '../../src/evaluate/tasks/run.ts';
import type { Task } from '../../src/evaluate/tasks/task.ts';

/** What the student learns from: GPT-4's answers as they are, or the right ones where GPT-4 was wrong. */
export type Way = 'gpt-4' | 'corrected';

export type Row = Omit<Example, 'line'>;

/** Items with the same number share a text or passages of it. */
export type LawItem = TaskItem & { case: number };

/** Deterministic shuffle, then the first `share` to train and the rest to test. */
export function splitItems<T>(items: readonly T[], share: number, seed = 7): { train: T[]; test: T[] } {
  const shuffled = new Random(seed).shuffle([...items]);
  const cut = Math.round(share * items.length);
  return { train: shuffled.slice(0, cut), test: shuffled.slice(cut) };
}

/**
 * Each item is tested in one fold and learned in all others; items of one case stay together. One fold alone is the first of
 * two: half is learned, half tested.
 */
export function foldsOf<T>(items: readonly T[], folds: number, cases: readonly number[]): { train: T[]; test: T[] }[] {
  const groups = new Map<number, T[]>();
  for (const [i, item] of items.entries()) groups.set(cases[i], [...(groups.get(cases[i]) ?? []), item]);
  const parts = Array.from({ length: Math.max(2, folds) }, (): T[] => []);
  for (const group of splitItems([...groups.values()], 1).train)
    parts.reduce((least, part) => (part.length < least.length ? part : least)).push(...group);
  return parts.slice(0, folds).map((test) => ({ train: parts.filter((part) => part !== test).flat(), test }));
}

/** The option that GPT-4's recorded answer names, by the task's own rules; undefined where it names none, or several. */
export function answeredOption(task: Task, item: TaskItem): string | undefined {
  const { answers } = scoreRecorded(
    task,
    task.options!.map((target) => ({ ...item, target })),
  );
  const named = task.options!.filter((_, i) => answers[i].score === 1);
  return named.length === 1 ? named[0] : undefined;
}

/** Rows to train on. Of the way `gpt-4`, answers that name no option teach nothing and are left out. */
export function lawTraining(task: Task, items: readonly TaskItem[], way: Way): Row[] {
  return items.flatMap((item) => {
    const answer = way === 'corrected' ? item.target : answeredOption(task, item);
    return answer === undefined ? [] : [lawRow(task, item, answer)];
  });
}

/** Rows to test on: GPT-4's answer is the teacher's turn, and `reference` the right one. */
export function lawTest(task: Task, items: readonly LawItem[]): Row[] {
  return items.map((item) => {
    const row = lawRow(task, item, answeredOption(task, item) ?? item.recorded!);
    return { ...row, reference: item.target, tags: { ...row.tags, case: String(item.case) } };
  });
}

/** What the student reads of an item. */
export function lawPrompt(item: TaskItem): string {
  return shortPrompt(item.messages!.map(messageText).join('\n'));
}

function lawRow(task: Task, item: TaskItem, answer: string): Row {
  const asked = item.messages!.map(messageText).join('\n');
  return {
    id: item.id,
    messages: [
      { role: 'user', content: lawPrompt(item) },
      { role: 'assistant', content: answer },
    ],
    model: 'gpt-4',
    usage: cautiousUsage(asked, item.recorded!),
    tags: { task: task.name },
  };
}

/** LawBench's instruction is the first line, the same for all items: what the student is trained for need not be said again. */
export function shortPrompt(asked: string): string {
  const rest = asked.slice(asked.indexOf('\n') + 1).trim();
  return rest.replace(/^(?:咨询|句子)[:：]\s*/u, '');
}

/** Customer service: the message alone; the teacher would be asked with `teacherPrompt`, which names the labels. */
export function serviceRow(id: string, text: string, label: string, teacherPrompt: string, tags: Row['tags']): Row {
  return {
    id,
    messages: [
      { role: 'user', content: text },
      { role: 'assistant', content: label },
    ],
    model: 'gpt-4',
    usage: cautiousUsage(teacherPrompt, label),
    tags,
  };
}

/**
 * Fewer tokens than GPT-4 and GPT-4o really bill: 0.7 a Chinese character and 0.2 any other. Counted with tiktoken on these data
 * it is 1.13 to 1.27 a character for cl100k_base (GPT-4) and 0.76 to 0.84 for o200k_base (GPT-4o), and 0.22 in English.
 */
export function cautiousUsage(asked: string, answer: string): NonNullable<Example['usage']> {
  const tokens = (text: string) => {
    const wide = text.match(/\p{Script=Han}/gu)?.length ?? 0;
    return Math.floor(0.7 * wide + 0.2 * (text.length - wide));
  };
  return { prompt_tokens: tokens(asked), completion_tokens: Math.max(1, tokens(answer)) };
}
