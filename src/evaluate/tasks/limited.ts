// Regular expressions of task files on answers of models, with a limit of time: a pattern that backtracks without end is named.
import { createContext, Script } from 'node:vm';
import { CupelError } from '../../base/errors.ts';

const LIMIT_MS = 1000;
const context = createContext({ pattern: '', text: '' });
// V8 lets go of a regular expression only when the script that runs it has a limit
const script = new Script('JSON.stringify([...text.matchAll(new RegExp(pattern, "gsu"))].map((found) => [...found]))');

/** Without a repeated group and with at most two repeats without end, it takes at most the square of the length: no limit is needed. */
function isPlain(pattern: string): boolean {
  const open = pattern.match(/(?<!\\)[*+]|\{\d*,\}/g)?.length ?? 0;
  return open <= 2 && !/(?<!\\)\)[*+{]/.test(pattern) && !/\\[1-9k]|\(\?[=!<]/.test(pattern);
}

/** All matches, each with its groups (null: not taken part). @throws CupelError for a pattern that is none, or takes too long */
export function allMatches(pattern: string, text: string): (string | null)[][] {
  // a limit costs a thread each time
  if (isPlain(pattern)) return plainMatches(pattern, text);
  Object.assign(context, { pattern, text });
  try {
    return JSON.parse(script.runInContext(context, { timeout: LIMIT_MS }) as string) as (string | null)[][];
  } catch (cause) {
    throw refused(pattern, cause);
  }
}

function plainMatches(pattern: string, text: string): (string | null)[][] {
  try {
    return [...text.matchAll(new RegExp(pattern, 'gsu'))].map((found) => [...found].map((group) => group ?? null));
  } catch (cause) {
    throw refused(pattern, cause);
  }
}

function refused(pattern: string, cause: unknown): CupelError {
  const slow = (cause as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT';
  return new CupelError(
    slow ? `the pattern ${pattern} takes too long on an answer` : `not a pattern: ${(cause as Error).message}`,
    {
      remedy: 'write it without repeats inside repeats, e.g. a+ in place of (a+)+',
      exitCode: 2,
      cause,
    },
  );
}
