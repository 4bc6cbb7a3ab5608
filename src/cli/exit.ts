// Exit codes: 0 done, 1 failed, 2 bad input or options, 3 not proven, 130 interrupted.
import { CommanderError } from 'commander';
import { CupelError } from '../base/errors.ts';

export const NOT_PROVEN = 3;

export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof CupelError) return error.exitCode;
  if (error instanceof Error && error.name === 'AbortError') return 130;
  return 1;
}
