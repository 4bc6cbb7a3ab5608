// The end of a process by signals: the first SIGTERM or Ctrl-C asks it to stop, the second stops it at once.

/** Resolves on the first SIGTERM or SIGINT; the second ends the process. */
export function stopped(): Promise<void> {
  return new Promise((done) => {
    let asked = false;
    const stop = (signal: NodeJS.Signals) => {
      if (asked) return endAtOnce(signal);
      asked = true;
      done();
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
  });
}

/**
 * Ends the process by the signal itself (130 or 143 in a shell). `process.exit` would end its threads one by one, and a native call
 * under way in one of them then aborts the process with a message of its own.
 */
export function endAtOnce(signal: NodeJS.Signals): void {
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}
