// Whether bytes can still become UTF-8: a state between tokens that end in the middle of a character.

/**
 * 0: between characters; 1-3: so many continuation bytes are due; the others: what may follow the lead bytes whose next byte is
 * restricted (RFC 3629, table of well-formed sequences).
 */
export type Utf8State = number;

const AFTER_E0 = 4;
const AFTER_ED = 5;
const AFTER_F0 = 6;
const AFTER_F4 = 7;
export const INVALID = -1;

/** @returns the state after the bytes, or INVALID */
export function advanceUtf8(state: Utf8State, bytes: Uint8Array): Utf8State {
  let now = state;
  for (let i = 0; i < bytes.length && now !== INVALID; i++) now = now === 0 ? lead(bytes[i]) : follow(now, bytes[i]);
  return now;
}

function lead(byte: number): Utf8State {
  if (byte < 0x80) return 0;
  if (byte < 0xc2 || byte > 0xf4) return INVALID;
  if (byte < 0xe0) return 1;
  if (byte === 0xe0) return AFTER_E0;
  if (byte === 0xed) return AFTER_ED;
  if (byte < 0xf0) return 2;
  if (byte === 0xf0) return AFTER_F0;
  return byte === 0xf4 ? AFTER_F4 : 3;
}

function follow(state: Utf8State, byte: number): Utf8State {
  const low = state === AFTER_E0 ? 0xa0 : state === AFTER_F0 ? 0x90 : 0x80;
  const high = state === AFTER_ED ? 0x9f : state === AFTER_F4 ? 0x8f : 0xbf;
  if (byte < low || byte > high) return INVALID;
  if (state === AFTER_E0 || state === AFTER_ED) return 1;
  return state === AFTER_F0 || state === AFTER_F4 ? 2 : state - 1;
}
