import type { SqlTypeSpec } from '../../../protocol/rows/sql-types.ts';
import { bytes, type Codec, type Encode, numberText } from '../tds/codec.ts';
import { makeSized } from '../tds/layouts.ts';
import { writeDecimal } from '../tds/numbers.ts';
import { noneOfThese, plainKey, type SqlTypeDescriptor } from './descriptor.ts';
import { readDecimal } from './exact-numbers.ts';
import { isNumeric, powers, readShort, TWO_32 } from './short-numbers.ts';

function describe(name: 'decimal' | 'numeric', token: number): SqlTypeDescriptor {
  const tds = name === 'decimal' ? 'Decimal' : 'Numeric';
  return {
    ...noneOfThese,
    family: 'number',
    tds: [tds, `${tds}N`],
    declare: ({ precision, scale }) => ({ name, precision: precision ?? 18, scale: scale ?? 0 }),
    transcode: ({ scale }) => makeSized(scale ?? 0, writeDecimal),
    writeEvent({ scale }) {
      return (value) => decimalOf(value as number, scale ?? 0);
    },
    variant: {
      token,
      // Precision, then scale.
      write: (io, start, end, properties) => writeDecimal(io, start, end - start, io.input[properties + 1]!),
    },
    load: { codec: ({ precision, scale }) => decimalCodec(token, precision ?? 18, scale ?? 0) },
    rangeKey: plainKey,
    digits: digitsOf,
    textLength(type) {
      const [whole, fraction] = digitsOf(type);
      return whole + fraction + 3;
    },
    roundsText: true,
  };
}

function digitsOf({ precision = 0, scale = 0 }: SqlTypeSpec): [whole: number, fraction: number] {
  return [precision === 0 ? 0 : precision - scale, scale];
}

/**
 * Returns the decimal that a double names: tedious gives a double; up to 15 digits name it, and those are the column's
 * own.
 */
export function decimalOf(value: number, scale: number): string | undefined {
  return Math.abs(value) * 10 ** scale < 1e15 ? value.toFixed(scale) : undefined;
}

function decimalCodec(id: number, precision: number, scale: number): Codec {
  const size = precision <= 9 ? 4 : precision <= 19 ? 8 : precision <= 28 ? 12 : 16;
  return {
    id,
    typeInfo: bytes(id, size + 1, precision, scale),
    encode: encodeDecimal(precision, scale, size),
    write(out, value) {
      const units = readDecimal(numberText(value), precision, scale);
      out.writeUInt8(size + 1);
      out.writeUInt8(units < 0 ? 0 : 1);
      if (typeof units === 'number') {
        const magnitude = Math.abs(units);
        out.writeUInt32LE(magnitude % TWO_32);
        if (size > 4) out.writeUInt32LE(Math.floor(magnitude / TWO_32));
        for (let at = 8; at < size; at += 4) out.writeUInt32LE(0);
        return;
      }
      let rest = units < 0n ? -units : units;
      for (let at = 0; at < size; at += 4) {
        out.writeUInt32LE(Number(rest & 0xffff_ffffn));
        rest >>= 32n;
      }
    },
  };
}

function encodeDecimal(precision: number, scale: number, size: number): Encode {
  const bound = powers[Math.min(precision, 15)]!;
  return (out, kind, json, start, end) => {
    if (!isNumeric(kind)) return false;
    const units = readShort(json, start, end, scale);
    const magnitude = Math.abs(units);
    // Not so of NaN.
    if (!(magnitude < bound)) return false;
    out.writeUInt8(size + 1);
    out.writeUInt8(units < 0 ? 0 : 1);
    out.writeUInt32LE(magnitude % TWO_32);
    if (size > 4) out.writeUInt32LE(Math.floor(magnitude / TWO_32));
    for (let at = 8; at < size; at += 4) out.writeUInt32LE(0);
    return true;
  };
}

export const decimal = describe('decimal', 0x6a);
export const numeric = describe('numeric', 0x6c);
