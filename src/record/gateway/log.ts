// The gateway's log: one JSON line for each event, never a key, a prompt or an answer.
import { type DestinationStream, type Logger, pino } from 'pino';

export type Log = Logger;

/** @param destination where lines go; stderr by default */
export function makeLog(level: string, destination: DestinationStream = stderr()): Log {
  return pino(
    {
      level,
      base: undefined,
      timestamp: pino.stdTimeFunctions.isoTime,
      // belt and braces: nothing below is ever passed to the log
      redact: { paths: ['authorization', 'key', 'headers', 'request', 'response', 'body', 'messages'], remove: true },
    },
    destination,
  );
}

const FLUSH_MS = 100;

/** Lines leave many at a time: a write for each would cost an exchange more than most of what is done for it. */
function stderr(): DestinationStream {
  const stream = pino.destination({ fd: 2, sync: false, minLength: 8 << 10 });
  // the rest is written when the process ends
  setInterval(() => stream.flush(), FLUSH_MS).unref();
  return stream;
}
