/** Numbers of JSON as PostgreSQL's jsonb writes them: plain notation with their scale, no `-0`. */

const MINUS = 0x2d;
const ZERO = 0x30;
const POINT = 0x2e;
const NINE = 0x39;

/** Returns whether jsonb writes the number as it stands there: no exponent, and no sign before zero. */
export function isPlainNumber(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = end - 1; at > start; at--) {
    const byte = bytes[at]!;
    if (byte > NINE) return false;
  }
  return bytes[start] !== MINUS || bytes[start + 1] !== ZERO || hasOtherThanZero(bytes, start + 1, end);
}

function hasOtherThanZero(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (bytes[at] !== ZERO && bytes[at] !== POINT) return true;
  return false;
}

/** Returns the text that jsonb gives a JSON number. `canonicalNumber('-1.50e-3')` is `-0.00150`. */
export function canonicalNumber(json: string): string {
  const parts = NUMBER.exec(json);
  if (parts === null) throw new SyntaxError('not a JSON number');
  const [, sign, whole = '', fraction = '', exponent = '0'] = parts;
  const shift = Number(exponent);
  let digits = whole + fraction;
  const scale = Math.max(0, fraction.length - shift);
  // Where the point falls, counted from the first digit.
  const point = whole.length + shift;
  if (point > digits.length) digits = digits.padEnd(point, '0');
  if (point <= 0) digits = digits.padStart(digits.length - point + 1, '0');
  const before = point <= 0 ? 1 : point;
  const integer = digits.slice(0, before).replace(/^0+(?=\d)/, '');
  const rest = digits.slice(before, before + scale);
  const isZero = !/[1-9]/.test(digits);
  return (sign === '-' && !isZero ? '-' : '') + integer + (scale === 0 ? '' : `.${rest}`);
}

const NUMBER = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;
