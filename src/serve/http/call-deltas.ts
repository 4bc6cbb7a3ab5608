// The calls of a growing answer as the pieces that a stream sends: name and id first, then the arguments as they come.
import { callId, OPEN } from './tools.ts';

export interface CallDelta {
  index: number;
  id?: string;
  type?: 'function';
  function: { name?: string; arguments: string };
}

/** What a call begins with, up to its arguments. */
const HEAD = /^\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)/;
const NOT_YET = /^\s*(\{[^}]*)?$/;

export class CallDeltas {
  /** Calls begun so far. */
  begun = 0;
  private rest = '';
  private state: 'between' | 'head' | 'arguments' | 'unknown' = 'between';
  private depth = 0;
  private quoted = false;
  private escaped = false;

  push(text: string): CallDelta[] {
    this.rest += text;
    const deltas: CallDelta[] = [];
    let state: string | undefined;
    while (state !== this.state) {
      state = this.state;
      const delta = this.step();
      if (delta) deltas.push(delta);
    }
    return deltas;
  }

  private step(): CallDelta | undefined {
    if (this.state === 'between') this.findOpening();
    else if (this.state === 'head') return this.readHead();
    else if (this.state === 'arguments') return this.readArguments();
    return undefined;
  }

  private findOpening(): void {
    const at = this.rest.indexOf(OPEN);
    if (at < 0) return;
    this.rest = this.rest.slice(at + OPEN.length);
    this.state = 'head';
  }

  private readHead(): CallDelta | undefined {
    const head = HEAD.exec(this.rest);
    if (!head) {
      // written in another order: it is sent as a whole at the end
      if (!NOT_YET.test(this.rest)) this.state = 'unknown';
      return undefined;
    }
    this.rest = this.rest.slice(head[0].length);
    this.state = 'arguments';
    const name = JSON.parse(head[1]) as string;
    return { index: this.begun++, id: callId(), type: 'function', function: { name, arguments: '' } };
  }

  private readArguments(): CallDelta | undefined {
    let at = 0;
    while (at < this.rest.length && this.state === 'arguments') this.take(this.rest[at++]);
    const part = this.rest.slice(0, at);
    this.rest = this.rest.slice(at);
    return part === '' ? undefined : { index: this.begun - 1, function: { arguments: part } };
  }

  private take(character: string): void {
    if (this.escaped) this.escaped = false;
    else if (this.quoted && character === '\\') this.escaped = true;
    else if (character === '"') this.quoted = !this.quoted;
    else if (!this.quoted && character === '{') this.depth++;
    else if (!this.quoted && character === '}' && --this.depth === 0) this.state = 'between';
  }
}
