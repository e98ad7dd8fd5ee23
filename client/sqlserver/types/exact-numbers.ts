import { formatReal } from '../../../protocol/rows/values.ts';
import { LossyValue, UnfitValue } from '../tds/unfit.ts';

const decimalShape = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,4}))?$/;

/**
 * Reads a decimal text as an integer of units of 10^-`scale`, with every digit. Up to 15 digits it is a number, beyond
 * that a bigint: most values never make one.
 * @throws {UnfitValue} where it is not a number, or has digits below the scale or above the precision
 */
export function readDecimal(text: string, precision: number, scale: number): number | bigint {
  const match = decimalShape.exec(text.trim());
  if (match === null || (match[2] === '' && (match[3] ?? '') === '')) throw new UnfitValue('no es un número');
  const exponent = Number(match[4] ?? 0);
  const whole = match[2]!;
  const fraction = match[3] ?? '';
  const point = whole.length + exponent;
  const digits = whole + fraction;
  const end = point + scale;
  // Digits of the result: those before `end`; zeros are added up to it, and only zeros may lie after it.
  const first = digits.search(/[1-9]/);
  if (first === -1) return 0;
  if (end - first > precision) {
    throw new UnfitValue(`tiene más de ${precision - scale} cifras enteras`);
  }
  if (/[1-9]/.test(end <= 0 ? digits : digits.slice(end))) {
    throw new LossyValue(`tiene más de ${scale} decimales y no se redondea`);
  }
  const kept = digits.slice(first, end).padEnd(end - first, '0');
  if (kept.length <= 15) return match[1] === '-' ? -Number(kept) : Number(kept);
  return match[1] === '-' ? -BigInt(kept) : BigInt(kept);
}

/** Reads a whole number between the two bounds, written in any way that has no fraction: `5`, `5.00`, `5e0`. */
export function readInteger(text: string, low: number | bigint, high: number | bigint): number | bigint {
  const value = readDecimal(text, 40, 0);
  if (value < low || value > high) throw new UnfitValue(`debe estar entre ${low} y ${high}`);
  return value;
}

/** Digits that a float and a real keep, whatever the number. */
const FLOAT_DIGITS = 15;
const REAL_DIGITS = 6;

/**
 * Returns the double that the text is: the nearest one, where the shortest text that means it has the same digits, or
 * where it is just that number.
 * @throws {UnfitValue} where it is not a number, past the range, or has digits that would be lost
 */
export function readExactFloat(text: string): number {
  const { digits, value } = readNearest(text);
  if (!Number.isFinite(value)) throw new UnfitValue('es mayor de lo que cabe en FLOAT');
  // Below the first, numbers have fewer digits the smaller they are.
  const short = digits.length <= FLOAT_DIGITS && Math.abs(value) >= 2 ** -1022;
  if (short || digits === digitsOf(String(value)) || isInteger(text, value)) return value;
  throw new LossyValue('tiene más cifras de las que guarda FLOAT y no se redondea');
}

/** Returns the same of a real, which keeps less. */
export function readExactReal(text: string): number {
  const { digits, value } = readNearest(text);
  const read = Math.fround(value);
  if (!Number.isFinite(read)) throw new UnfitValue('es mayor de lo que cabe en REAL');
  const short = digits.length <= REAL_DIGITS && Math.abs(read) >= 2 ** -126;
  if (short || digits === digitsOf(formatReal(read))) return read;
  if (read === value && (digits === digitsOf(String(value)) || isInteger(text, value))) return read;
  throw new LossyValue('tiene más cifras de las que guarda REAL y no se redondea');
}

function readNearest(text: string): { digits: string; value: number } {
  const trimmed = text.trim();
  if (!decimalShape.test(trimmed) || !/\d/.test(trimmed)) throw new UnfitValue('no es un número');
  return { digits: digitsOf(trimmed), value: Number(trimmed) };
}

/** The significant digits of a number's text: equal, of two texts for the same double, where they mean the same number. */
function digitsOf(text: string): string {
  return text
    .replace(/[eE].*$/, '')
    .replace(/[^\d]/g, '')
    .replace(/^0+|0+$/g, '');
}

function isInteger(text: string, value: number): boolean {
  return /^[+-]?\d+$/.test(text.trim()) && BigInt(value) === BigInt(text.trim().replace('+', ''));
}
