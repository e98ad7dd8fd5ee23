import { DAYS_TO_1900, dateFromDays, dayOf, monthOf, yearOf } from './calendar.ts';

/**
 * The canonical text of SQL Server values: what an upload's NDJSON holds, whoever writes it. Every reader of rows must
 * agree with these functions to the last character.
 *
 * | type | text |
 * |---|---|
 * | bit | `true`, `false` |
 * | tinyint, smallint, int, bigint | digits: `-9223372036854775808` |
 * | decimal, numeric | every digit of the scale, a zero before the point: `-0.50`, `0`; no exponent, no `-0` |
 * | money, smallmoney | as decimal of scale 4: `0.0003` |
 * | float | the shortest that names the same double: `0.1`, `1e+21`, `5e-324`, `-0` |
 * | real | the shortest that names the same 4-byte float: `0.1`, `3.4028235e+38` |
 * | char, varchar, nchar, nvarchar, text, ntext, xml | string; padding of char and nchar stays |
 * | date | `"2024-01-15"` |
 * | time(n) | `"10:30:00.1234567"`: n digits, no point when n is 0 |
 * | smalldatetime | `"2024-01-15T10:30:00"` |
 * | datetime | `"2024-01-15T10:30:00.123"`: always 3 digits (…0, …3, …7) |
 * | datetime2(n) | `"2024-01-15T10:30:00.1234567"`: n digits |
 * | datetimeoffset(n) | local time and its offset: `"2024-01-15T10:30:00.1234567-05:00"`; zero is `+00:00` |
 * | uniqueidentifier | upper case: `"6F9619FF-8B86-D011-B42D-00C04FC964FF"` |
 * | binary, varbinary, image, hierarchyid, geography, geometry | base64 with padding, one line |
 * | rowversion | `"0x00000000000007D1"`: upper case; on the wire a binary(8) of UserType 0x50 |
 * | json, vector | string: the text that SQL Server writes of it |
 * | sql_variant | as its base type |
 *
 * In a string the characters that PostgreSQL's jsonb cannot hold, U+0000 and lone surrogates, become U+FFFD, one for
 * one UTF-16 unit. Escapes are those of JSON.stringify; nothing else is escaped. A NULL is `null`.
 */

/** COLMETADATA's UserType of rowversion, the only built-in type that it names ([MS-TDS] 2.2.7.4). */
export const ROWVERSION_USER_TYPE = 0x50;

/** Formats `unscaled` / 10^`scale` in digits. `formatDecimal(-50n, 2)` is `-0.50`. */
export function formatDecimal(unscaled: bigint, scale: number): string {
  const negative = unscaled < 0n;
  const digits = (negative ? -unscaled : unscaled).toString().padStart(scale + 1, '0');
  const sign = negative ? '-' : '';
  if (scale === 0) return sign + digits;
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/** Returns the shortest text that names this double. SQL Server has no NaN and no infinities. */
export function formatFloat(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value);
}

/** Returns the shortest text that names this 4-byte float (`value` is the double that equals it). */
export function formatReal(value: number): string {
  if (value === 0) return formatFloat(value);
  // 9 digits always name it (IEEE 754, 5.12.2); Number drops the zeros that toPrecision adds.
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return formatFloat(short);
  }
  return formatFloat(Number(value.toPrecision(9)));
}

/** Formats `2024-01-15` of the days since 0001-01-01. */
export function formatDate(days: number): string {
  const date = dateFromDays(days);
  return `${pad(yearOf(date), 4)}-${pad(monthOf(date), 2)}-${pad(dayOf(date), 2)}`;
}

/**
 * Formats `10:30:00.1234567` of the time since midnight in units of 10^-`scale` seconds (at most 864,000,000,000:
 * exact).
 */
export function formatTime(units: number, scale: number): string {
  const perSecond = 10 ** scale;
  const seconds = Math.floor(units / perSecond);
  const clock = `${pad(Math.floor(seconds / 3600), 2)}:${pad(Math.floor(seconds / 60) % 60, 2)}:${pad(seconds % 60, 2)}`;
  return scale === 0 ? clock : `${clock}.${pad(units % perSecond, scale)}`;
}

/** Formats a datetime2: days since 0001-01-01, units as in formatTime. */
export function formatDateTime2(days: number, units: number, scale: number): string {
  return `${formatDate(days)}T${formatTime(units, scale)}`;
}

/** Formats a datetime: days since 1900-01-01 (negative before it) and 1/300 seconds since midnight. */
export function formatDateTime(days: number, threeHundredths: number): string {
  return formatDateTime2(days + DAYS_TO_1900, Math.round((threeHundredths * 10) / 3), 3);
}

/** Formats a smalldatetime: days since 1900-01-01 and minutes since midnight. */
export function formatSmallDateTime(days: number, minutes: number): string {
  return formatDateTime2(days + DAYS_TO_1900, minutes * 60, 0);
}

/**
 * Formats a datetimeoffset: days and units are UTC, as on the wire ([MS-TDS] 2.2.5.5.1.8); the text is the local time.
 */
export function formatDateTimeOffset(days: number, units: number, scale: number, offsetMinutes: number): string {
  const unitsPerDay = 86_400 * 10 ** scale;
  const local = units + offsetMinutes * 60 * 10 ** scale;
  const dayShift = Math.floor(local / unitsPerDay);
  const absolute = Math.abs(offsetMinutes);
  const offset = `${offsetMinutes < 0 ? '-' : '+'}${pad(Math.floor(absolute / 60), 2)}:${pad(absolute % 60, 2)}`;
  return formatDateTime2(days + dayShift, local - dayShift * unitsPerDay, scale) + offset;
}

/** Formats a rowversion as `0x00000000000007D1` */
export function formatRowversion(bytes: Uint8Array): string {
  return `0x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex').toUpperCase()}`;
}

/** Formats bytes as base64 with padding. */
export function formatBinary(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

const unstorable = /\0|[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g;

/** Returns `text` without the characters that jsonb cannot hold, and how many were replaced. */
export function replaceUnstorable(text: string): { text: string; replaced: number } {
  if (text.search(unstorable) === -1) return { text, replaced: 0 };
  let replaced = 0;
  const clean = text.replace(unstorable, () => {
    replaced += 1;
    return '\uFFFD';
  });
  return { text: clean, replaced };
}

function pad(value: number, width: number): string {
  return String(value).padStart(width, '0');
}
