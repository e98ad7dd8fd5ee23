import { daysFromDate } from '../../../protocol/rows/values.ts';
import { ASCII, FALSE, NUMBER, TEXT, TRUE } from '../load/scanner.ts';
import type { Encode, Out } from '../tds/codec.ts';
import type { Instant } from './instants.ts';

/**
 * The usual forms of values, from the bytes of their JSON to those of TDS without a string between: numbers of up to 15
 * digits, ISO instants with whole fields, text without escapes. Whatever looks otherwise, and whatever does not fit, is left
 * to the codec's `write` (codec.ts).
 */

const ZERO = 0x30;
const PLUS = 0x2b;
const MINUS = 0x2d;
const POINT = 0x2e;
const COLON = 0x3a;

/**
 * `-12.50` as units of 10^-`scale`, as readDecimal reads it, where it has up to 15 digits at the scale, which a double holds
 * exactly; NaN for all else, good or bad.
 */
function readShort(bytes: Uint8Array, start: number, end: number, scale: number): number {
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

/** Powers of ten that a double holds exactly. */
const powers = Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`));
const TWO_32 = 0x1_0000_0000;

export const encodeBit: Encode = (out, kind) => {
  if (kind !== TRUE && kind !== FALSE) return false;
  out.writeUInt8(1);
  out.writeUInt8(kind === TRUE ? 1 : 0);
  return true;
};

export function encodeInteger(size: 1 | 2 | 4 | 8, low: number, high: number): Encode {
  return (out, kind, bytes, start, end) => {
    if (kind !== NUMBER && kind !== ASCII) return false;
    const value = readShort(bytes, start, end, 0);
    // Not so of NaN.
    if (!(value >= low && value <= high)) return false;
    out.writeUInt8(size);
    if (size === 4) out.writeInt32LE(value);
    else if (size === 8) {
      out.writeUInt32LE(value % TWO_32);
      out.writeInt32LE(Math.floor(value / TWO_32));
    } else if (size === 2) out.writeInt16LE(value);
    else out.writeUInt8(value);
    return true;
  };
}

export function encodeDecimal(precision: number, scale: number, size: number): Encode {
  const bound = powers[Math.min(precision, 15)]!;
  return (out, kind, bytes, start, end) => {
    if (kind !== NUMBER && kind !== ASCII) return false;
    const units = readShort(bytes, start, end, scale);
    const magnitude = Math.abs(units);
    if (!(magnitude < bound)) return false;
    out.writeUInt8(size + 1);
    out.writeUInt8(units < 0 ? 0 : 1);
    out.writeUInt32LE(magnitude % TWO_32);
    if (size > 4) out.writeUInt32LE(Math.floor(magnitude / TWO_32));
    for (let at = 8; at < size; at += 4) out.writeUInt32LE(0);
    return true;
  };
}

export const encodeMoney: Encode = (out, kind, bytes, start, end) => {
  if (kind !== NUMBER && kind !== ASCII) return false;
  const units = readShort(bytes, start, end, 4);
  if (Number.isNaN(units)) return false;
  out.writeUInt8(8);
  // The high half goes first, each half little-endian ([MS-TDS] 2.2.5.5.1.2).
  out.writeInt32LE(Math.floor(units / TWO_32));
  out.writeUInt32LE(units % TWO_32);
  return true;
};

export const encodeSmallMoney: Encode = (out, kind, bytes, start, end) => {
  if (kind !== NUMBER && kind !== ASCII) return false;
  const units = readShort(bytes, start, end, 4);
  if (!(units >= -2_147_483_648 && units <= 2_147_483_647)) return false;
  out.writeUInt8(4);
  out.writeInt32LE(units);
  return true;
};

/**
 * The nearest double of up to 15 digits with up to 15 decimals: both integer and power of ten are exact, so their quotient is
 * rounded once (Clinger, "How to Read Floating Point Numbers Accurately", 1990).
 */
function readShortFloat(bytes: Uint8Array, start: number, end: number, bound: number): number {
  let point = start;
  while (point < end && bytes[point] !== POINT) point += 1;
  const decimals = point === end ? 0 : end - point - 1;
  const units = readShort(bytes, start, end, decimals);
  return Math.abs(units) < bound ? units / powers[decimals]! : Number.NaN;
}

export function encodeFloat(size: 4 | 8): Encode {
  // So many digits a real keeps, whatever the number; a double those of readShort.
  const bound = size === 4 ? 1e6 : 1e15;
  return (out, kind, bytes, start, end) => {
    if (kind !== NUMBER && kind !== ASCII) return false;
    const value = readShortFloat(bytes, start, end, bound);
    if (Number.isNaN(value)) return false;
    out.writeUInt8(size);
    if (size === 8) out.writeDoubleLE(value);
    else out.writeFloatLE(value);
    return true;
  };
}

/** Characters of nchar and nvarchar. `fits` says whether a code page has a UTF-16 unit beyond ASCII. */
export function encodeText(length: number | 'max', fits: ((unit: number) => boolean) | undefined): Encode {
  const max = length === 'max';
  const limit = max ? Number.POSITIVE_INFINITY : length;
  return (out, kind, bytes, start, end) => {
    if (kind !== ASCII && kind !== TEXT && kind !== NUMBER) return false;
    const before = out.pos;
    const from = before + (max ? 12 : 2);
    const { buffer } = out;
    let to = from;
    for (let at = start; at < end; ) {
      const byte = bytes[at++]!;
      let unit = byte;
      if (byte >= 0x80) {
        // The bytes are known to be UTF-8.
        if (byte < 0xe0) unit = ((byte & 0x1f) << 6) | (bytes[at++]! & 0x3f);
        else if (byte < 0xf0) {
          unit = ((byte & 0x0f) << 12) | ((bytes[at]! & 0x3f) << 6) | (bytes[at + 1]! & 0x3f);
          at += 2;
        } else {
          const point =
            (((byte & 0x07) << 18) |
              ((bytes[at]! & 0x3f) << 12) |
              ((bytes[at + 1]! & 0x3f) << 6) |
              (bytes[at + 2]! & 0x3f)) -
            0x1_0000;
          at += 3;
          const high = 0xd800 | (point >> 10);
          buffer[to] = high;
          buffer[to + 1] = high >> 8;
          to += 2;
          unit = 0xdc00 | (point & 0x3ff);
        }
        if (fits !== undefined && !fits(unit)) return false;
      }
      buffer[to] = unit;
      buffer[to + 1] = unit >> 8;
      to += 2;
    }
    const byteLength = to - from;
    if (byteLength > 2 * limit) return false;
    if (!max) {
      out.writeUInt16LE(byteLength);
      out.pos = to;
      return true;
    }
    out.writeUInt32LE(0xffff_fffe);
    out.writeUInt32LE(0xffff_ffff);
    if (byteLength > 0) {
      out.writeUInt32LE(byteLength);
      out.pos = to;
    }
    out.writeUInt32LE(0);
    return true;
  };
}

/** The value of a hexadecimal digit's byte; 0xff for another's. */
const nibbles = new Uint8Array(256).fill(0xff);
for (let digit = 0; digit < 16; digit++) {
  const text = digit.toString(16);
  nibbles[text.charCodeAt(0)] = digit;
  nibbles[text.toUpperCase().charCodeAt(0)] = digit;
}
/** Where each byte of a uniqueidentifier stands in its text: the first three groups are little-endian numbers. */
const guidPlaces = [6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34];

export const encodeGuid: Encode = (out, kind, bytes, start, end) => {
  if (kind !== ASCII || end - start !== 36) return false;
  for (const hyphen of [8, 13, 18, 23]) if (bytes[start + hyphen] !== MINUS) return false;
  let seen = 0;
  for (let index = 0; index < 16; index++) {
    const at = start + guidPlaces[index]!;
    const high = nibbles[bytes[at]!]!;
    const low = nibbles[bytes[at + 1]!]!;
    seen |= high | low;
    out.buffer[out.pos + 1 + index] = (high << 4) | low;
  }
  if (seen > 0x0f) return false;
  out.writeUInt8(16);
  out.pos += 16;
  return true;
};

/** Two digits, NaN where there are none. */
function two(bytes: Uint8Array, at: number): number {
  const tens = bytes[at]! - ZERO;
  const ones = bytes[at + 1]! - ZERO;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : Number.NaN;
}

const monthLengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** `2024-01-15` as days since 0001-01-01; NaN for all else. */
function readDays(bytes: Uint8Array, at: number): number {
  const year = two(bytes, at) * 100 + two(bytes, at + 2);
  const month = two(bytes, at + 5);
  const day = two(bytes, at + 8);
  if (bytes[at + 4] !== MINUS || bytes[at + 7] !== MINUS || !(year >= 1 && month >= 1 && month <= 12))
    return Number.NaN;
  const leap = month === 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  if (!(day >= 1 && day <= monthLengths[month - 1]! + (leap ? 1 : 0))) return Number.NaN;
  return daysFromDate(year, month, day);
}

/** `10:30:00` or `10:30:00.1234567` as 100 ns units since midnight; NaN for all else. */
function readUnits(bytes: Uint8Array, at: number, end: number): number {
  const hour = two(bytes, at);
  const minute = two(bytes, at + 3);
  const second = two(bytes, at + 6);
  // What comes after the end is no digit and no colon.
  if (bytes[at + 2] !== COLON || bytes[at + 5] !== COLON) return Number.NaN;
  if (!(hour < 24 && minute < 60 && second < 60)) return Number.NaN;
  const whole = ((hour * 60 + minute) * 60 + second) * 10_000_000;
  if (end === at + 8) return whole;
  const digits = end - at - 9;
  if (bytes[at + 8] !== POINT || digits < 1 || digits > 7) return Number.NaN;
  let fraction = 0;
  for (let place = at + 9; place < end; place++) {
    const byte = bytes[place]!;
    if (byte < ZERO || byte > 0x39) return Number.NaN;
    fraction = fraction * 10 + byte - ZERO;
  }
  return whole + fraction * powers[7 - digits]!;
}

/** What follows `2024-01-15`: nothing, or a T or a blank and the time. */
function readUnitsAfterDate(bytes: Uint8Array, start: number, end: number): number {
  if (end === start + 10) return 0;
  const separator = bytes[start + 10];
  return separator === 0x54 || separator === 0x20 ? readUnits(bytes, start + 11, end) : Number.NaN;
}

/** Of a type with a date and no offset: text without one. */
export function encodeDateTime(write: (out: Out, days: number, units: number) => void): Encode {
  return (out, kind, bytes, start, end) => {
    if (kind !== ASCII || end - start < 10) return false;
    const days = readDays(bytes, start);
    const units = readUnitsAfterDate(bytes, start, end);
    if (Number.isNaN(days + units)) return false;
    write(out, days, units);
    return true;
  };
}

export function encodeTime(write: (out: Out, units: number) => void): Encode {
  return (out, kind, bytes, start, end) => {
    if (kind !== ASCII) return false;
    const units = readUnits(bytes, start, end);
    if (Number.isNaN(units)) return false;
    write(out, units);
    return true;
  };
}

/** Text that ends with `Z`, `+02:00` or `-03:30`. */
export function encodeDateTimeOffset(write: (out: Out, instant: Required<Instant>) => void): Encode {
  return (out, kind, bytes, start, end) => {
    const sign = bytes[end - 6];
    const zulu = bytes[end - 1] === 0x5a;
    if (kind !== ASCII || end - start < 17 || !(zulu || sign === PLUS || sign === MINUS)) return false;
    const until = zulu ? end - 1 : end - 6;
    const minutes = zulu || bytes[end - 3] !== COLON ? 0 : two(bytes, end - 5) * 60 + two(bytes, end - 2);
    if (!zulu && (bytes[end - 3] !== COLON || !(two(bytes, end - 2) < 60 && minutes <= 840))) return false;
    const days = readDays(bytes, start);
    const units = readUnitsAfterDate(bytes, start, until);
    if (Number.isNaN(days + units)) return false;
    write(out, { days, units, offset: sign === MINUS ? -minutes : minutes });
    return true;
  };
}
