/** The proleptic Gregorian calendar in days since 0001-01-01, as date, datetime2 and datetimeoffset count them. */

/** Days from 0001-01-01 to 1900-01-01, where datetime and smalldatetime start to count. */
export const DAYS_TO_1900 = 693_595;
/** 9999-12-31 */
export const LAST_DAY = 3_652_058;

const monthLengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Returns whether SQL Server has such a day: the years 1 to 9999. NaN is no part of one. */
export function isDate(year: number, month: number, day: number): boolean {
  if (!(year >= 1 && year <= 9999 && month >= 1 && month <= 12)) return false;
  const leapDay = month === 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 1 : 0;
  return day >= 1 && day <= monthLengths[month - 1]! + leapDay;
}

/** Returns the days to a date for which isDate is true. */
export function daysFromDate(year: number, month: number, day: number): number {
  // A year that starts in March has its leap day last, so the months' lengths follow one formula.
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 306;
}

/** Days from 1 March to 1 January. */
const MARCH_TO_JANUARY = 306;
/** Of each day of a year that begins in March: its month and day, as dateFromDays packs them. */
const monthsAndDays = Uint16Array.from({ length: 366 }, (_, dayOfYear) => {
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1;
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  return (month << 5) | day;
});

/**
 * Returns the date of `days`, 0 to LAST_DAY, in one integer, for a reader of many rows allocates nothing for a value:
 * the day in the lowest 5 bits, the month in 4, the year in the rest (dayOf, monthOf, yearOf).
 */
export function dateFromDays(days: number): number {
  const shifted = days + 306;
  const era = (shifted / 146_097) | 0;
  const dayOfEra = shifted - era * 146_097;
  const leapDays = ((dayOfEra / 1460) | 0) - ((dayOfEra / 36_524) | 0) + ((dayOfEra / 146_096) | 0);
  const yearOfEra = ((dayOfEra - leapDays) / 365) | 0;
  const dayOfYear = dayOfEra - (yearOfEra * 365 + ((yearOfEra / 4) | 0) - ((yearOfEra / 100) | 0));
  const year = yearOfEra + era * 400 + (dayOfYear >= MARCH_TO_JANUARY ? 1 : 0);
  return (year << 9) | monthsAndDays[dayOfYear]!;
}

export function yearOf(date: number): number {
  return date >> 9;
}

export function monthOf(date: number): number {
  return (date >> 5) & 15;
}

export function dayOf(date: number): number {
  return date & 31;
}
