import { formatFloat, formatReal } from '../../../protocol/rows/values.ts';
import type { RowIo } from './row-io.ts';

/**
 * Numbers as protocol/rows/values.ts prints them, from the bytes, into the output: none of them asks for room (a row keeps
 * SMALL_VALUE_BYTES for each). An integer up to 2^53 is exact in a double; what is larger goes through 16-bit words.
 */

const ZERO = 0x30;
const MINUS = 0x2d;
const POINT = 0x2e;
const BILLION = 1_000_000_000;
const TWO_32 = 4_294_967_296;
/** High words below this leave an integer of 64 bits exact in a double. */
const EXACT_HIGH = 0x20_0000;
const powers = Float64Array.from({ length: 16 }, (_, exponent) => 10 ** exponent);

/** `00` to `99`. */
const pairs = new Uint8Array(200);
for (let i = 0; i < 100; i++) {
  pairs[2 * i] = ZERO + Math.trunc(i / 10);
  pairs[2 * i + 1] = ZERO + (i % 10);
}

/** Writes an integer from 0 to 2^53. */
export function writeInteger(io: RowIo, value: number): void {
  if (value < BILLION) {
    const count = countDigits(value);
    writeDigits(io.out, io.at, value, count);
    io.at += count;
    return;
  }
  // The quotient of two exact integers below 2^53 never rounds up to the next integer.
  const high = Math.floor(value / BILLION);
  writeInteger(io, high);
  writePadded(io, value - high * BILLION, 9);
}

/** Writes `value` below 10^9 in `count` digits, with zeros in front. */
export function writePadded(io: RowIo, value: number, count: number): void {
  writeDigits(io.out, io.at, value, count);
  io.at += count;
}

/** Writes a signed integer of 32 bits or less. */
export function writeInt32(io: RowIo, value: number): void {
  if (value < 0) io.out[io.at++] = MINUS;
  writeInteger(io, Math.abs(value));
}

/** Writes a signed integer of 64 bits, little-endian halves, over 10^`scale`. */
export function writeInt64(io: RowIo, low: number, high: number, scale: number): void {
  let magnitudeLow = low;
  let magnitudeHigh = high;
  if (high >= 0x8000_0000) {
    io.out[io.at++] = MINUS;
    magnitudeLow = -low >>> 0;
    magnitudeHigh = (~high + (low === 0 ? 1 : 0)) >>> 0;
  }
  if (magnitudeHigh < EXACT_HIGH) {
    writeScaled(io, magnitudeHigh * TWO_32 + magnitudeLow, scale);
    return;
  }
  setWord(0, magnitudeLow);
  setWord(2, magnitudeHigh);
  writeWords(io, 4, scale);
}

/**
 * Writes decimal and numeric: a sign (1 is positive), then 4, 8, 12 or 16 bytes of the number without its point
 * ([MS-TDS] 2.2.5.5.1.6). Throws Error on any other length.
 */
export function writeDecimal(io: RowIo, position: number, bytes: number, scale: number): void {
  const { input } = io;
  const low = uint32(input, position + 1);
  const high = bytes > 5 ? uint32(input, position + 5) : 0;
  if (bytes !== 5 && bytes !== 9 && bytes !== 13 && bytes !== 17) throw new Error(`TDS: a decimal of ${bytes} bytes`);
  const third = bytes > 9 ? uint32(input, position + 9) : 0;
  const fourth = bytes > 13 ? uint32(input, position + 13) : 0;
  // A zero has no sign, whatever the wire says.
  if (input[position] !== 1 && (low | high | third | fourth) !== 0) io.out[io.at++] = MINUS;
  if (third === 0 && fourth === 0 && high < EXACT_HIGH) {
    writeScaled(io, high * TWO_32 + low, scale);
    return;
  }
  setWord(0, low);
  setWord(2, high);
  setWord(4, third);
  setWord(6, fourth);
  writeWords(io, 8, scale);
}

/** An integer from 0 to 2^53 over 10^`scale`. */
function writeScaled(io: RowIo, value: number, scale: number): void {
  if (scale === 0) {
    writeInteger(io, value);
    return;
  }
  // Above 10^15 nothing is left before the point.
  const whole = scale > 15 ? 0 : Math.floor(value / powers[scale]!);
  writeInteger(io, whole);
  io.out[io.at++] = POINT;
  writeFraction(io, scale > 15 ? value : value - whole * powers[scale]!, scale);
}

function writeFraction(io: RowIo, value: number, count: number): void {
  if (count <= 9) {
    writePadded(io, value, count);
    return;
  }
  const high = Math.floor(value / BILLION);
  writeFraction(io, high, count - 9);
  writePadded(io, value - high * BILLION, 9);
}

const scratch = new DataView(new ArrayBuffer(8));

/** Writes a float. */
export function writeDouble(io: RowIo, position: number): void {
  scratch.setUint32(0, uint32(io.input, position), true);
  scratch.setUint32(4, uint32(io.input, position + 4), true);
  const value = scratch.getFloat64(0, true);
  const tenThousandths = Math.round(Math.abs(value) * 10_000);
  // 15 digits or fewer name a double, and no other decimal as short does: no search for the shortest is needed.
  if (tenThousandths < 1e15 && tenThousandths !== 0 && tenThousandths / 10_000 === Math.abs(value)) {
    writeShort(io, value < 0, tenThousandths);
  } else {
    writeAscii(io, formatFloat(value));
  }
}

/** Writes a real. */
export function writeSingle(io: RowIo, position: number): void {
  scratch.setUint32(0, uint32(io.input, position), true);
  const value = scratch.getFloat32(0, true);
  const tenThousandths = Math.round(Math.abs(value) * 10_000);
  // As for float, with 6 digits.
  if (tenThousandths < 1e6 && tenThousandths !== 0 && Math.fround(tenThousandths / 10_000) === Math.abs(value)) {
    writeShort(io, value < 0, tenThousandths);
  } else {
    writeAscii(io, formatReal(value));
  }
}

/** Writes ASCII text that needs no escape. */
export function writeAscii(io: RowIo, text: string): void {
  for (let i = 0; i < text.length; i++) io.out[io.at++] = text.charCodeAt(i);
}

export function uint32(input: Uint8Array, position: number): number {
  return (
    (input[position]! | (input[position + 1]! << 8) | (input[position + 2]! << 16) | (input[position + 3]! << 24)) >>> 0
  );
}

/** Without the zeros at its end. */
function writeShort(io: RowIo, negative: boolean, tenThousandths: number): void {
  if (negative) io.out[io.at++] = MINUS;
  const whole = Math.floor(tenThousandths / 10_000);
  const fraction = tenThousandths - whole * 10_000;
  writeInteger(io, whole);
  if (fraction === 0) return;
  io.out[io.at++] = POINT;
  writePadded(io, fraction, 4);
  while (io.out[io.at - 1] === ZERO) io.at -= 1;
}

/** `value` below 2^31. */
function writeDigits(out: Uint8Array, at: number, value: number, count: number): void {
  let rest = value | 0;
  let end = at + count;
  while (end - at >= 2) {
    const quotient = (rest / 100) | 0;
    const pair = (rest - quotient * 100) * 2;
    out[--end] = pairs[pair + 1]!;
    out[--end] = pairs[pair]!;
    rest = quotient;
  }
  if (end > at) out[at] = ZERO + rest;
}

function countDigits(value: number): number {
  if (value < 10_000) {
    if (value < 100) return value < 10 ? 1 : 2;
    return value < 1000 ? 3 : 4;
  }
  if (value < 1_000_000) return value < 100_000 ? 5 : 6;
  if (value < 100_000_000) return value < 10_000_000 ? 7 : 8;
  return 9;
}

/** An integer in 16-bit words, the lowest first, and the digits that it becomes: one at a time, so one for all. */
const words = new Float64Array(8);
const digits = new Uint8Array(48);

function setWord(index: number, value: number): void {
  words[index] = value & 0xffff;
  words[index + 1] = value >>> 16;
}

/** The integer in the first `count` words, over 10^`scale`. */
function writeWords(io: RowIo, count: number, scale: number): void {
  let left = count;
  let start = digits.length;
  while (left > 0) {
    let remainder = 0;
    for (let i = left - 1; i >= 0; i--) {
      const value = remainder * 0x1_0000 + words[i]!;
      const quotient = Math.floor(value / BILLION);
      words[i] = quotient;
      remainder = value - quotient * BILLION;
    }
    while (left > 0 && words[left - 1] === 0) left -= 1;
    start -= 9;
    writeDigits(digits, start, remainder, 9);
  }
  while (digits.length - start <= scale) digits[--start] = ZERO;
  while (digits[start] === ZERO && digits.length - start > scale + 1) start += 1;
  const { out } = io;
  for (let i = start; i < digits.length; i++) {
    if (i === digits.length - scale) out[io.at++] = POINT;
    out[io.at++] = digits[i]!;
  }
}
