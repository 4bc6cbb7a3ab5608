// What a served student and the teacher behind it have answered and cost, as `cupel serve --teacher` writes it beside the model.
import { existsSync } from 'node:fs';
import { z } from 'zod';
import { CupelError } from '../base/errors.ts';
import { readJsonl } from '../base/jsonl.ts';

/** A line: since the line before. */
const Line = z.object({
  /** ISO 8601, when it was written. */
  at: z.iso.datetime(),
  student: z.int().nonnegative(),
  teacher: z.int().nonnegative(),
  /** US dollars for the teacher, answers that were not given to a caller among them. */
  usd: z.number().nonnegative(),
});
export type ServedLine = z.infer<typeof Line>;

/** All of the lines together. */
export interface Served {
  since: string;
  until: string;
  /** Answers that callers were given, by who gave them. */
  student: number;
  teacher: number;
  usd: number;
}

export function servedFileOf(model: string): string {
  return `${model}.served.jsonl`;
}

/** @throws CupelError naming the line that cannot be read; undefined where the model was not served with a teacher */
export async function readServed(model: string): Promise<Served | undefined> {
  const file = servedFileOf(model);
  if (!existsSync(file)) return undefined;
  const lines = (await readJsonl<unknown>(file)).map((row, i): ServedLine => {
    const parsed = Line.safeParse(row);
    if (parsed.success) return parsed.data;
    throw new CupelError('not a line that `cupel serve --teacher` writes', {
      place: { file, line: i + 1, field: parsed.error.issues[0].path.join('.') },
      remedy: 'take the line out; the others count',
    });
  });
  if (lines.length === 0) return undefined;
  const sum = (pick: (line: ServedLine) => number) => lines.reduce((total, line) => total + pick(line), 0);
  const dates = lines.map(({ at }) => at).sort();
  return {
    since: dates[0],
    until: dates.at(-1)!,
    student: sum(({ student }) => student),
    teacher: sum(({ teacher }) => teacher),
    usd: sum(({ usd }) => usd),
  };
}
