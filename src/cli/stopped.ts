// Waits for the end of a server's life: the first SIGTERM or Ctrl-C asks it to stop, the second stops it at once.

/** Resolves on the first SIGTERM or SIGINT; the second ends the process with 130. */
export function stopped(): Promise<void> {
  return new Promise((done) => {
    let asked = false;
    const stop = () => {
      if (asked) process.exit(130);
      asked = true;
      done();
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
  });
}
