// The one error class of the project: what was wrong, where, and what to do about it.

export interface ErrorPlace {
  file?: string;
  line?: number;
  field?: string;
}

/** A failure a user can act on. The command line prints `message`, the place and `remedy`, never a stack trace. */
export class CupelError extends Error {
  readonly place: ErrorPlace;
  readonly remedy: string | undefined;
  readonly exitCode: number;

  /** @param message what was wrong; @param options.place file, line (from 1), field; @param options.remedy what to do */
  constructor(
    message: string,
    options: { place?: ErrorPlace; remedy?: string; exitCode?: number; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'CupelError';
    this.place = options.place ?? {};
    this.remedy = options.remedy;
    this.exitCode = options.exitCode ?? 1;
  }
}

/** The text shown to a person: `file:line: field: message` and the remedy on a line of its own. */
export function describeError(error: unknown): string {
  if (!(error instanceof CupelError)) return error instanceof Error ? error.message : String(error);
  const { file, line, field } = error.place;
  const place = [file && (line ? `${file}:${line}` : file), field].filter(Boolean).join(': ');
  return [place ? `${place}: ${error.message}` : error.message, error.remedy && `  remedy: ${error.remedy}`]
    .filter(Boolean)
    .join('\n');
}
