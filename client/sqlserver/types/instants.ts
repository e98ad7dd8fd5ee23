import { daysFromDate } from '../../../protocol/rows/values.ts';
import { LossyValue, UnfitValue } from './exact-numbers.ts';

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
 * Throws UnfitValue where the text has another form, names no day of the calendar, or has digits below 100 ns.
 */
export function readInstant(text: string): Instant {
  const match = shape.exec(text.trim());
  if (match === null || (match[1] === undefined && match[4] === undefined)) {
    throw new UnfitValue('no es una fecha u hora ISO (2024-01-15T10:30:00)');
  }
  return { days: readDays(match), units: readUnits(match), offset: readOffset(match[8]) };
}

function readDays(match: RegExpExecArray): number | undefined {
  if (match[1] === undefined) return undefined;
  const year = Number(match[1]);
  const month = Number(match[2]);
  const day = Number(match[3]);
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  const length = month === 2 ? (leap ? 29 : 28) : [4, 6, 9, 11].includes(month) ? 30 : 31;
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > length)
    throw new UnfitValue('no es un día del calendario');
  return daysFromDate(year, month, day);
}

function readUnits(match: RegExpExecArray): number | undefined {
  if (match[4] === undefined) return undefined;
  const [hour, minute, second] = [Number(match[4]), Number(match[5]), Number(match[6] ?? 0)];
  if (hour > 23 || minute > 59 || second > 59) throw new UnfitValue('no es una hora del día');
  const fraction = match[7] ?? '';
  if (/[1-9]/.test(fraction.slice(7))) throw new UnfitValue('tiene más de 7 decimales de segundo y no se redondea');
  return ((hour * 60 + minute) * 60 + second) * 10_000_000 + Number(fraction.slice(0, 7).padEnd(7, '0'));
}

function readOffset(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (text === 'Z' || text === 'z') return 0;
  const hours = Number(text.slice(1, 3));
  const minutes = Number(text.slice(3).replace(':', '') || 0);
  if (minutes > 59 || hours * 60 + minutes > 840) throw new UnfitValue('el desfase horario pasa de 14:00');
  return (text.startsWith('-') ? -1 : 1) * (hours * 60 + minutes);
}

/** The date and time of a type that knows no offset: none in the text, or UTC's own. */
export function withoutOffset(instant: Instant): { days: number; units: number } {
  if (instant.offset !== undefined && instant.offset !== 0) {
    throw new LossyValue('lleva un desfase horario y la columna no lo guarda: use DATETIMEOFFSET');
  }
  if (instant.days === undefined) throw new UnfitValue('le falta la fecha');
  return { days: instant.days, units: instant.units ?? 0 };
}

/** UTC's date and time and the offset, as datetimeoffset is sent; text without an offset is UTC, as for SQL Server. */
export function toUtc({ days, units = 0, offset = 0 }: Instant): { days: number; units: number; offset: number } {
  if (days === undefined) throw new UnfitValue('le falta la fecha');
  const utc = units - offset * MINUTE;
  const shift = Math.floor(utc / DAY);
  if (days + shift < 0 || days + shift > 3_652_058) throw new UnfitValue('en UTC queda fuera de los años 1 a 9999');
  return { days: days + shift, units: utc - shift * DAY, offset };
}

/** Units of 10^-`scale` s. Throws UnfitValue where digits would be lost. */
export function toScale(units: number, scale: number): number {
  const step = 10 ** (7 - scale);
  if (units % step !== 0) throw new LossyValue(`tiene más de ${scale} decimales de segundo y no se redondea`);
  return units / step;
}

/**
 * 1/300 seconds, where the text is one of datetime's own values: .120, .123, .127, or with more of their digits
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
