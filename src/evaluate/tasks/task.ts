// A benchmark task as data: which files, how an item reads, what is right, how it is scored. The files lie in data/.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { CupelError } from '../../base/errors.ts';
import { isScorerName, scorers } from '../scorers/registry.ts';

const Names = z.array(z.string()).min(1);

const Pattern = z.string().refine(isPattern, 'not a regular expression');

const Fields = z.strictObject({
  name: z.string(),
  /** Raise when the same data give other scores. */
  version: z.number().int().positive(),
  source: z.string(),
  language: z.enum(['en', 'zh']),
  /** Where each split lies below the data folder; `*` stands for any part of a name and becomes `subject`. The first that is there counts. */
  files: z.strictObject({ test: Names, fewShot: Names.optional() }),
  /** Names for the columns of files without a header. */
  columns: z.array(z.string()).optional(),
  /**
   * Text with `{{field}}`, `{{field.0}}`, `{{one|or.another}}`, `{{one|}}` (or nothing); at the end of a path `.trim`, of a list
   * `.join` (by spaces) and `.lastLetter` (E of five). Or the field with the conversation.
   */
  prompt: z.string().optional(),
  messages: z.string().optional(),
  /** Before everything; `{{subjectName}}` is the subject by `subjectNames`, or with spaces for its underscores. */
  description: z.string().default(''),
  subjectNames: z.record(z.string(), z.string()).optional(),
  output: z.enum(['multiple-choice', 'generate']),
  /** Continuations to choose from; or the field with them. */
  choices: z.union([z.array(z.string()), z.string()]).optional(),
  target: z.string(),
  /** Part of the target that counts: the first group. */
  targetPattern: Pattern.optional(),
  /** Rendered target -> its name in answers. */
  targetNames: z.record(z.string(), z.string()).optional(),
  /** Between prompt and continuation. */
  delimiter: z.string().default(' '),
  /** First pattern that matches the answer; its first group, or the whole match, is scored. `last`: of all its matches. */
  extract: z.array(z.strictObject({ pattern: Pattern, last: z.boolean().default(false) })).default([]),
  scorer: z
    .string()
    .refine((name) => name === 'auto' || isScorerName(name), `choose one of auto, ${Object.keys(scorers).join(', ')}`)
    .default('exact'),
  /** For the scorer `numeric`; the greater of the two counts. */
  tolerance: z.strictObject({ absolute: z.number().nonnegative(), relative: z.number().nonnegative() }).optional(),
  /** For the scorer `json`: JSON schema that an answer must keep to. */
  schema: z.record(z.string(), z.unknown()).optional(),
  /** For the scorer `choice`: what else could have been answered. */
  options: z.array(z.string()).optional(),
  metric: z.enum(['accuracy', 'accuracyNormalised', 'mean']).default('mean'),
  stop: z.array(z.string()).default([]),
  maxTokens: z.number().int().positive().default(64),
  fewShot: z.strictObject({ count: z.number().int().nonnegative(), separator: z.string() }).optional(),
});

const chosen = (task: z.infer<typeof Fields>) => task.output === 'multiple-choice';
export const Task = Fields.refine((task) => task.prompt !== undefined || task.messages !== undefined, {
  path: ['prompt'],
  message: 'say how an item reads: give prompt or messages',
})
  .refine((task) => !chosen(task) || task.choices !== undefined, {
    path: ['choices'],
    message: 'multiple choice needs choices: the continuations, or the field that holds them',
  })
  .refine((task) => !chosen(task) || task.prompt !== undefined, {
    path: ['prompt'],
    message: 'multiple choice goes by the likelihood of raw text: give a prompt',
  })
  .refine((task) => !task.fewShot?.count || task.files.fewShot !== undefined, {
    path: ['files', 'fewShot'],
    message: 'name the files that hold the examples, or leave fewShot out',
  });
export type Task = z.infer<typeof Task>;

function isPattern(text: string): boolean {
  try {
    return new RegExp(text, 'gsu') !== undefined;
  } catch {
    return false;
  }
}

// data stays in src/, also when the built code runs from dist/
const FOLDER = new URL('../../../src/evaluate/tasks/data/', import.meta.url);

export function taskNames(): string[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith('.json'))
    .map((name) => name.slice(0, -5));
}

/** A task that comes with Cupel, by name, or a task file. @throws CupelError when there is none, or it is not well formed */
export function readTask(nameOrFile: string): Task {
  const own = new URL(`${nameOrFile}.json`, FOLDER);
  const known = /^[\w-]+$/.test(nameOrFile) && existsSync(own);
  if (!known && !existsSync(nameOrFile)) {
    throw new CupelError(`there is no task "${nameOrFile}"`, {
      remedy: `choose one of ${taskNames().join(', ')}, or give a task file`,
      exitCode: 2,
    });
  }
  try {
    return Task.parse(JSON.parse(readFileSync(known ? own : nameOrFile, 'utf8')));
  } catch (cause) {
    const issue = cause instanceof z.ZodError ? cause.issues[0] : undefined;
    throw new CupelError(`not a task: ${issue?.message ?? (cause as Error).message}`, {
      place: { file: nameOrFile, field: issue?.path.join('.') || undefined },
      remedy: 'see the task files that come with Cupel, in src/evaluate/tasks/data',
      exitCode: 2,
      cause,
    });
  }
}
