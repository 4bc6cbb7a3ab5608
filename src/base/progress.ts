// Progress of long work as data: stages emit it, the command line draws it, scripts read it.

export interface ProgressEvent {
  /** The stage or task, e.g. `distill`. */
  stage: string;
  /** Units done and in all (tokens, items, bytes, steps); `total` is absent while unknown. */
  done?: number;
  total?: number;
  unit?: string;
  /** Units per second. */
  rate?: number;
  secondsLeft?: number;
  /** Free text, e.g. `loss 0.412`. */
  message?: string;
  /** Further numbers for charts and scripts, e.g. `{ step, loss }`. */
  values?: Record<string, number>;
}

export type Progress = (event: ProgressEvent) => void;

export const silent: Progress = () => {};
