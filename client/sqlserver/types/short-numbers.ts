import { ASCII, NUMBER, type TokenKind } from '../tds/row-scanner.ts';

/**
 * Numbers of up to 15 digits, which a double holds exactly, from the bytes of their JSON without a string between: what a
 * codec's `encode` reads. Whatever looks otherwise, good or bad, is NaN, and left to its `write` (exact-numbers.ts).
 */

const ZERO = 0x30;
const MINUS = 0x2d;
const POINT = 0x2e;

/** Powers of ten that a double holds exactly. */
export const powers = Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`));
export const TWO_32 = 0x1_0000_0000;

/** Returns whether a value is a number; it may also come as a string: without escapes, and in ASCII. */
export function isNumeric(kind: TokenKind): boolean {
  return kind === NUMBER || kind === ASCII;
}

/**
 * Reads `-12.50` as units of 10^-`scale`, as readDecimal reads it, where it has up to 15 digits at the scale, which a
 * double holds exactly; NaN for all else, good or bad.
 */
export function readShort(bytes: Uint8Array, start: number, end: number, scale: number): number {
  const negative = bytes[start] === MINUS;
  let value = 0;
  let digits = 0;
  let point = -1;
  for (let at = negative ? start + 1 : start; at < end; at++) {
    const byte = bytes[at]!;
    if (byte === POINT && point === -1) {
      point = digits;
      continue;
    }
    if (byte < ZERO || byte > 0x39) return Number.NaN;
    value = value * 10 + byte - ZERO;
    digits += 1;
  }
  const missing = scale - (point === -1 ? 0 : digits - point);
  if (digits === 0 || missing < 0 || digits + missing > 15) return Number.NaN;
  return (negative ? -value : value) * powers[missing]!;
}

/**
 * Returns the nearest double of up to 15 digits with up to 15 decimals: both integer and power of ten are exact, so
 * their quotient is rounded once (Clinger, "How to Read Floating Point Numbers Accurately", 1990).
 */
export function readShortFloat(bytes: Uint8Array, start: number, end: number, bound: number): number {
  let point = start;
  while (point < end && bytes[point] !== POINT) point += 1;
  const decimals = point === end ? 0 : end - point - 1;
  const units = readShort(bytes, start, end, decimals);
  return Math.abs(units) < bound ? units / powers[decimals]! : Number.NaN;
}
