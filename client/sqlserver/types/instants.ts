import { daysFromDate, isDate, LAST_DAY } from '../../../protocol/rows/calendar.ts';
import { LossyValue, UnfitValue } from '../tds/unfit.ts';
import { powers } from './short-numbers.ts';

/**
 * Reads dates and times: ISO text in all its forms, and the usual form, whole fields in the bytes of JSON, without a string between
 * (what a codec's `encode` reads).
 */

/** A date, a time of day or both, as text says it; nothing passes through Date, so no time zone has a say. */
export interface Instant {
  /** Since 0001-01-01; undefined where the text has no date. */
  days: number | undefined;
  /** 100 ns units since midnight; undefined where the text has no time. */
  units: number | undefined;
  /** Minutes east of UTC; undefined where the text has none. `Z` is 0. */
  offset: number | undefined;
}

const MINUTE = 600_000_000;
const DAY = 1440 * MINUTE;

const shape =
  /^(?:(\d{4})-(\d\d)-(\d\d))?(?:(?:^|[T ])(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?)?(?: ?(Z|z|[+-]\d\d(?::?\d\d)?))?$/;

/**
 * Reads ISO text: `2024-01-15`, `10:30:00.1234567`, `2024-01-15T10:30:00`, with a blank for the T, with an offset.
 * @throws {UnfitValue} where the text has another form, names no day of the calendar, or has digits below 100 ns
 */
export function readInstant(text: string): Instant {
  const match = shape.exec(text.trim());
  if (match === null || (match[1] === undefined && match[4] === undefined)) {
    throw new UnfitValue('no es una fecha u hora ISO (2024-01-15T10:30:00)');
  }
  return { days: daysOf(match), units: clockOf(match), offset: offsetOf(match[8]) };
}

function daysOf(match: RegExpExecArray): number | undefined {
  if (match[1] === undefined) return undefined;
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])];
  if (!isDate(year, month, day)) throw new UnfitValue('no es un día del calendario');
  return daysFromDate(year, month, day);
}

function clockOf(match: RegExpExecArray): number | undefined {
  if (match[4] === undefined) return undefined;
  const [hour, minute, second] = [Number(match[4]), Number(match[5]), Number(match[6] ?? 0)];
  if (!isClock(hour, minute, second)) throw new UnfitValue('no es una hora del día');
  const fraction = match[7] ?? '';
  if (/[1-9]/.test(fraction.slice(7))) throw new UnfitValue('tiene más de 7 decimales de segundo y no se redondea');
  return unitsOf(hour, minute, second) + Number(fraction.slice(0, 7).padEnd(7, '0'));
}

function offsetOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (text === 'Z' || text === 'z') return 0;
  const minutes = Number(text.slice(3).replace(':', '') || 0);
  const total = Number(text.slice(1, 3)) * 60 + minutes;
  if (!isOffset(minutes, total)) throw new UnfitValue('el desfase horario pasa de 14:00');
  return text.startsWith('-') ? -total : total;
}

/** NaN is no part of one. */
function isClock(hour: number, minute: number, second: number): boolean {
  return hour < 24 && minute < 60 && second < 60;
}

function isOffset(minutes: number, total: number): boolean {
  return minutes < 60 && total <= 840;
}

function unitsOf(hour: number, minute: number, second: number): number {
  return ((hour * 60 + minute) * 60 + second) * 10_000_000;
}

const ZERO = 0x30;
const PLUS = 0x2b;
const MINUS = 0x2d;
const POINT = 0x2e;
const COLON = 0x3a;
const BLANK = 0x20;
const T = 0x54;
const ZULU = 0x5a;

/** Two digits, NaN where there are none. */
function two(json: Uint8Array, at: number): number {
  const tens = json[at]! - ZERO;
  const ones = json[at + 1]! - ZERO;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : Number.NaN;
}

/** Reads `2024-01-15` as days since 0001-01-01; NaN for all else. */
export function readDays(json: Uint8Array, at: number): number {
  const year = two(json, at) * 100 + two(json, at + 2);
  const month = two(json, at + 5);
  const day = two(json, at + 8);
  if (json[at + 4] !== MINUS || json[at + 7] !== MINUS || !isDate(year, month, day)) return Number.NaN;
  return daysFromDate(year, month, day);
}

/** Reads `10:30:00` or `10:30:00.1234567` as 100 ns units since midnight; NaN for all else. */
export function readUnits(json: Uint8Array, at: number, end: number): number {
  const hour = two(json, at);
  const minute = two(json, at + 3);
  const second = two(json, at + 6);
  // What comes after the end is no digit and no colon.
  if (json[at + 2] !== COLON || json[at + 5] !== COLON) return Number.NaN;
  if (!isClock(hour, minute, second)) return Number.NaN;
  const whole = unitsOf(hour, minute, second);
  if (end === at + 8) return whole;
  const digits = end - at - 9;
  if (json[at + 8] !== POINT || digits < 1 || digits > 7) return Number.NaN;
  let fraction = 0;
  for (let digit = at + 9; digit < end; digit++) {
    const byte = json[digit]!;
    if (byte < ZERO || byte > 0x39) return Number.NaN;
    fraction = fraction * 10 + byte - ZERO;
  }
  return whole + fraction * powers[7 - digits]!;
}

/** Reads what follows `2024-01-15`: nothing, or a T or a blank and the time. */
export function readUnitsAfterDate(json: Uint8Array, start: number, end: number): number {
  if (end === start + 10) return 0;
  const separator = json[start + 10];
  return separator === T || separator === BLANK ? readUnits(json, start + 11, end) : Number.NaN;
}

/**
 * Reads the minutes that `Z`, `+02:00` or `-03:30` at the end mean; NaN for all else. They are the last offsetLength
 * bytes.
 */
export function readOffset(json: Uint8Array, end: number): number {
  if (json[end - 1] === ZULU) return 0;
  const sign = json[end - 6];
  const minutes = two(json, end - 2);
  const total = two(json, end - 5) * 60 + minutes;
  if ((sign !== PLUS && sign !== MINUS) || json[end - 3] !== COLON || !isOffset(minutes, total)) return Number.NaN;
  return sign === MINUS ? -total : total;
}

export function offsetLength(json: Uint8Array, end: number): number {
  return json[end - 1] === ZULU ? 1 : 6;
}

/** Returns the date and time of a type that knows no offset: none in the text, or UTC's own. */
export function withoutOffset(instant: Instant): { days: number; units: number } {
  if (instant.offset !== undefined && instant.offset !== 0) {
    throw new LossyValue('lleva un desfase horario y la columna no lo guarda: use DATETIMEOFFSET');
  }
  if (instant.days === undefined) throw new UnfitValue('le falta la fecha');
  return { days: instant.days, units: instant.units ?? 0 };
}

/**
 * Returns UTC's date and time and the offset, as datetimeoffset is sent; text without an offset is UTC, as for SQL
 * Server.
 */
export function toUtc({ days, units = 0, offset = 0 }: Instant): { days: number; units: number; offset: number } {
  if (days === undefined) throw new UnfitValue('le falta la fecha');
  const utc = units - offset * MINUTE;
  const shift = Math.floor(utc / DAY);
  if (days + shift < 0 || days + shift > LAST_DAY) throw new UnfitValue('en UTC queda fuera de los años 1 a 9999');
  return { days: days + shift, units: utc - shift * DAY, offset };
}

/**
 * Units of 10^-`scale` s.
 * @throws {UnfitValue} where digits would be lost
 */
export function toScale(units: number, scale: number): number {
  const step = 10 ** (7 - scale);
  if (units % step !== 0) throw new LossyValue(`tiene más de ${scale} decimales de segundo y no se redondea`);
  return units / step;
}

/**
 * Returns 1/300 seconds, where the text is one of datetime's own values: .120, .123, .127, or with more of their digits
 * (.1233333), as datetime2 shows them.
 */
export function toThreeHundredths(units: number): number {
  const ticks = Math.round((units * 3) / 100_000);
  const exact = (ticks * 100_000) / 3;
  for (const step of [10_000, 1_000, 100, 10, 1]) {
    if (Math.round(exact / step) * step === units) return ticks;
  }
  throw new LossyValue('DATETIME solo guarda pasos de 1/300 s (.000, .003, .007) y no se redondea: use DATETIME2');
}
