// The few wire types of Protocol Buffers that ONNX files need.

const encoder = new TextEncoder();

function varint(value: number | bigint): Uint8Array {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}

/** Joins byte strings. */
export function join(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Field of an integer (wire type 0). */
export function integer(field: number, value: number | bigint): Uint8Array {
  return join([varint(field * 8), varint(value)]);
}

/** Field of bytes or an embedded message (wire type 2). */
export function bytes(field: number, value: Uint8Array): Uint8Array {
  return join([varint(field * 8 + 2), varint(value.length), value]);
}

/** Field of text. */
export function text(field: number, value: string): Uint8Array {
  return bytes(field, encoder.encode(value));
}

/** Field of a 32-bit float (wire type 5). */
export function float(field: number, value: number): Uint8Array {
  return join([varint(field * 8 + 5), new Uint8Array(Float32Array.of(value).buffer)]);
}
