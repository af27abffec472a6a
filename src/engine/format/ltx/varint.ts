/** Unsigned LEB128, as the index of an LTX file has it. Offsets in a file fit into the safe integers of JavaScript. */

/** 2^53 takes 8 bytes. */
export const VARINT_BYTES_MAX = 8;

/** @returns where the next one begins. */
export function putVarint(bytes: Uint8Array, at: number, value: number): number {
  let rest = value;
  let next = at;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes[next++] = (rest % 0x80) | 0x80;
  bytes[next++] = rest;
  return next;
}

/** @returns the value and how many bytes it takes; null when it is longer than the bytes, or than any of ours. */
export function readVarint(bytes: Uint8Array, at: number, end: number): { value: number; bytes: number } | null {
  let value = 0;
  for (let length = 0, factor = 1; length < VARINT_BYTES_MAX && at + length < end; length++, factor *= 0x80) {
    const byte = bytes[at + length] ?? 0;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return { value, bytes: length + 1 };
  }
  return null;
}
