// Draws progress events: one moving line on a terminal, a line every few seconds elsewhere.
import { formatDuration } from '../base/duration.ts';
import type { Progress, ProgressEvent } from '../base/progress.ts';

const QUIET_INTERVAL_MS = 5_000;
const TERMINAL_INTERVAL_MS = 100;

export function formatProgress(event: ProgressEvent): string {
  const { stage, done, total, unit, rate, secondsLeft, message } = event;
  const share = done !== undefined && total ? ` ${Math.floor((100 * done) / total)}%` : '';
  const count = done === undefined ? '' : ` ${short(done)}${total ? `/${short(total)}` : ''}${unit ? ` ${unit}` : ''}`;
  const speed = rate ? `, ${short(rate)} ${unit ?? ''}/s`.replace(' /s', '/s') : '';
  const left =
    secondsLeft === undefined || !Number.isFinite(secondsLeft) ? '' : `, ${formatDuration(secondsLeft)} left`;
  const text = message ? `${share || count || speed || left ? ', ' : ' '}${message}` : '';
  return `${stage}:${share}${count}${speed}${left}${text}`;
}

function short(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toFixed(2)}G`;
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)}M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)}k`;
  return Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 2 : 1);
}

/** A progress callback that draws on `stream`; call `end` to leave the cursor on a fresh line. */
export function drawProgress(stream: NodeJS.WriteStream): { progress: Progress; end: () => void } {
  let last = 0;
  let lastStage = '';
  let pending: ProgressEvent | undefined;
  const terminal = stream.isTTY === true;
  const show = (event: ProgressEvent) => {
    const text = formatProgress(event);
    if (terminal) stream.write(`\r\x1b[2K${text.slice(0, (stream.columns ?? 100) - 1)}`);
    else stream.write(`${text}\n`);
    last = Date.now();
    pending = undefined;
  };
  const flush = () => {
    if (pending) show(pending);
    if (terminal && lastStage) stream.write('\n');
  };
  return {
    progress: (event) => {
      const newStage = event.stage !== lastStage;
      if (newStage) flush();
      lastStage = event.stage;
      const note = event.done === undefined && event.message !== undefined;
      if (note && terminal && !newStage) stream.write('\n');
      const interval = terminal ? TERMINAL_INTERVAL_MS : QUIET_INTERVAL_MS;
      if (newStage || note || Date.now() - last >= interval) show(event);
      else pending = event;
    },
    end: flush,
  };
}
