/** A value that its column cannot hold; `rule`, Spanish, completes "el valor no se puede cargar: …". */
export class UnfitValue extends Error {
  readonly rule: string;

  constructor(rule: string) {
    super(rule);
    this.rule = rule;
  }
}

const decimalShape = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,4}))?$/;

/**
 * Reads a decimal text as an integer of units of 10^-`scale`, with every digit. Up to 15 digits it is a number, beyond
 * that a bigint: most values never make one.
 *
 * Throws UnfitValue where it is not a number, or has digits below the scale or above the precision.
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
    throw new UnfitValue(`tiene más de ${scale} decimales y no se redondea`);
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

/** The nearest double. Throws UnfitValue where it is not a number or past the range. */
export function readFloat(text: string): number {
  const trimmed = text.trim();
  if (!decimalShape.test(trimmed) || !/\d/.test(trimmed)) throw new UnfitValue('no es un número');
  const value = Number(trimmed);
  if (!Number.isFinite(value)) throw new UnfitValue('es mayor de lo que cabe en FLOAT');
  return value;
}
