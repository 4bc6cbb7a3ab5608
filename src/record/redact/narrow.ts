// One spelling of characters for the detectors, in which every position stays where it was.

const WIDE = /[\u00a0\u2000-\u200a\u2010-\u2015\u202f\u2212\u3000\uff08\uff09\uff0b-\uff20]/;
const EACH = new RegExp(WIDE.source, 'g');

/** Escapes of JSON, as a text within a text has them: the letter of `\n` is no part of the word that follows. */
const ESCAPES = /\\+(?:[nrtbf]|u[0-9a-fA-F]{4})/g;

/** Full-width forms, dashes and spaces as ASCII, escapes as spaces. */
export function narrowed(text: string): string {
  const narrow = WIDE.test(text) ? text.replace(EACH, ascii) : text;
  return narrow.includes('\\') ? narrow.replace(ESCAPES, (found) => ' '.repeat(found.length)) : narrow;
}

function ascii(character: string): string {
  const code = character.charCodeAt(0);
  if (code >= 0xff08) return String.fromCharCode(code - 0xfee0);
  return (code >= 0x2010 && code <= 0x2015) || code === 0x2212 ? '-' : ' ';
}
