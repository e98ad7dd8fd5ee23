import { DAYS_TO_1900, dateFromDays, dayOf, LAST_DAY, monthOf, yearOf } from '../../../protocol/rows/calendar.ts';
import { uint32, writePadded } from '../tds/numbers.ts';
import type { RowIo } from '../tds/row-io.ts';

/**
 * Dates and times as protocol/rows/values.ts prints them, in quotes, from the bytes ([MS-TDS] 2.2.5.5.1.8). Those that take
 * `bytes` have a length of their own on the wire and throw Error where it does not fit their type.
 */

const QUOTE = 0x22;
const DASH = 0x2d;
const COLON = 0x3a;
const POINT = 0x2e;
const T = 0x54;
const TWO_32 = 4_294_967_296;
const SECONDS_PER_DAY = 86_400;
export function writeDate(io: RowIo, position: number): void {
  io.out[io.at++] = QUOTE;
  writeDay(io, uint24(io.input, position));
  io.out[io.at++] = QUOTE;
}

export function writeTime(io: RowIo, position: number, bytes: number, scale: number): void {
  io.out[io.at++] = QUOTE;
  const units = timeUnits(io, position, bytes, scale);
  const perSecond = 10 ** scale;
  const seconds = Math.floor(units / perSecond);
  writeClock(io, seconds, units - seconds * perSecond, scale);
  io.out[io.at++] = QUOTE;
}

export function writeDateTime2(io: RowIo, position: number, bytes: number, scale: number): void {
  const units = timeUnits(io, position, bytes - 3, scale);
  const perSecond = 10 ** scale;
  const seconds = Math.floor(units / perSecond);
  writeInstant(io, uint24(io.input, position + bytes - 3), seconds, units - seconds * perSecond, scale);
  io.out[io.at++] = QUOTE;
}

/** Writes a datetimeoffset: the wire has UTC, the text the local time and its offset. */
export function writeDateTimeOffset(io: RowIo, position: number, bytes: number, scale: number): void {
  const { input } = io;
  const units = timeUnits(io, position, bytes - 5, scale);
  const perSecond = 10 ** scale;
  const utcSeconds = Math.floor(units / perSecond);
  const offset = ((input[position + bytes - 2]! | (input[position + bytes - 1]! << 8)) << 16) >> 16;
  let days = uint24(input, position + bytes - 5);
  let seconds = utcSeconds + offset * 60;
  if (seconds < 0) {
    seconds += SECONDS_PER_DAY;
    days -= 1;
  } else if (seconds >= SECONDS_PER_DAY) {
    seconds -= SECONDS_PER_DAY;
    days += 1;
  }
  writeInstant(io, days, seconds, units - utcSeconds * perSecond, scale);
  io.out[io.at++] = offset < 0 ? DASH : 0x2b;
  const minutes = Math.abs(offset);
  const hours = (minutes / 60) | 0;
  writePadded(io, hours, 2);
  io.out[io.at++] = COLON;
  writePadded(io, minutes - hours * 60, 2);
  io.out[io.at++] = QUOTE;
}

/** Days since 1900, which may be negative, and 1/300 seconds. */
export function writeDateTime(io: RowIo, position: number): void {
  const days = uint32(io.input, position) | 0;
  const ms = Math.round((uint32(io.input, position + 4) * 10) / 3);
  const seconds = Math.floor(ms / 1000);
  writeInstant(io, days + DAYS_TO_1900, seconds, ms - seconds * 1000, 3);
  io.out[io.at++] = QUOTE;
}

/** Days since 1900 and minutes, of 2 bytes each. */
export function writeSmallDateTime(io: RowIo, position: number): void {
  const value = uint32(io.input, position);
  writeInstant(io, (value & 0xffff) + DAYS_TO_1900, (value >>> 16) * 60, 0, 0);
  io.out[io.at++] = QUOTE;
}

/** `"2024-01-15T10:30:00.123`, without the quote that ends it. */
function writeInstant(io: RowIo, days: number, seconds: number, fraction: number, scale: number): void {
  io.out[io.at++] = QUOTE;
  writeDay(io, days);
  io.out[io.at++] = T;
  writeClock(io, seconds, fraction, scale);
}

function writeDay(io: RowIo, days: number): void {
  if (days < 0 || days > LAST_DAY) throw new Error(`TDS: a date ${days} days after 0001-01-01`);
  const date = dateFromDays(days);
  writePadded(io, yearOf(date), 4);
  io.out[io.at++] = DASH;
  writePadded(io, monthOf(date), 2);
  io.out[io.at++] = DASH;
  writePadded(io, dayOf(date), 2);
}

function writeClock(io: RowIo, seconds: number, fraction: number, scale: number): void {
  if (seconds >= SECONDS_PER_DAY) throw new Error(`TDS: a time ${seconds} seconds after midnight`);
  const minutes = (seconds / 60) | 0;
  const hours = (minutes / 60) | 0;
  writePadded(io, hours, 2);
  io.out[io.at++] = COLON;
  writePadded(io, minutes - hours * 60, 2);
  io.out[io.at++] = COLON;
  writePadded(io, seconds - minutes * 60, 2);
  if (scale === 0) return;
  io.out[io.at++] = POINT;
  writePadded(io, fraction, scale);
}

/** Units of 10^-`scale` seconds since midnight. */
function timeUnits(io: RowIo, position: number, bytes: number, scale: number): number {
  const { input } = io;
  if (bytes !== timeBytes(scale)) throw new Error(`TDS: a time(${scale}) of ${bytes} bytes`);
  if (bytes === 3) return uint24(input, position);
  const low = uint32(input, position);
  return bytes === 4 ? low : low + input[position + 4]! * TWO_32;
}

/** Bytes of the time part, by its scale. */
export function timeBytes(scale: number): number {
  if (scale <= 2) return 3;
  return scale <= 4 ? 4 : 5;
}

function uint24(input: Uint8Array, position: number): number {
  return input[position]! | (input[position + 1]! << 8) | (input[position + 2]! << 16);
}
