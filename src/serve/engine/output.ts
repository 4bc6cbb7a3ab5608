// Turns generated tokens into text: UTF-8 across token borders, stop strings, and only what is safe to send.

export interface TextStep {
  /** Text that may be sent now. */
  text: string;
  /** The answer ended at a stop string. */
  stopped: boolean;
}

/** Text of one answer as it grows. */
export class OutputText {
  private readonly decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  private readonly stops: readonly string[];
  private held = '';
  /** All text released so far. */
  text = '';

  constructor(stops: readonly string[] = []) {
    this.stops = stops.filter((stop) => stop !== '');
  }

  /** Adds the bytes of one token. */
  push(bytes: Uint8Array): TextStep {
    return this.take(this.decoder.decode(bytes, { stream: true }), false);
  }

  /** The end of the answer: what was held back, incomplete characters as U+FFFD. */
  finish(): TextStep {
    return this.take(this.decoder.decode(), true);
  }

  private take(added: string, last: boolean): TextStep {
    if (added === '' && !last) return { text: '', stopped: false };
    const all = this.held + added;
    const end = firstStop(all, this.stops);
    const cut = end ?? all.length - (last ? 0 : heldBack(all, this.stops));
    this.held = end === undefined ? all.slice(cut) : '';
    this.text += all.slice(0, cut);
    return { text: all.slice(0, cut), stopped: end !== undefined };
  }
}

/** Where the first stop string begins. */
function firstStop(text: string, stops: readonly string[]): number | undefined {
  const found = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
  return found.length > 0 ? Math.min(...found) : undefined;
}

/** Length of the longest end of `text` that a stop string could begin with. */
function heldBack(text: string, stops: readonly string[]): number {
  let most = 0;
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > most; length--) {
      if (stop.startsWith(text.slice(text.length - length))) most = length;
    }
  }
  return most;
}
