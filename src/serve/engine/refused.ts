// Why the engine turns one request down, as an error inside its thread.
import type { EngineFault } from './protocol.ts';

export class Refused extends Error {
  readonly code: EngineFault['code'];

  constructor(code: EngineFault['code'], message: string) {
    super(message);
    this.code = code;
  }
}
