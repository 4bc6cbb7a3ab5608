// The gateway's log: one JSON line for each event, never a key, a prompt or an answer.
import { type DestinationStream, type Logger, pino } from 'pino';

export type Log = Logger;

/** @param destination where lines go; stderr by default */
export function makeLog(level: string, destination: DestinationStream = pino.destination({ fd: 2, sync: false })): Log {
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
