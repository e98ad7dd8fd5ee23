import { formatFloat, formatReal } from '../../../protocol/rows/values.ts';
import { bytes, type Encode, numberText } from '../tds/codec.ts';
import { makeFixed, makeNullable } from '../tds/layouts.ts';
import { writeDouble, writeSingle } from '../tds/numbers.ts';
import type { Out } from '../tds/row-writer.ts';
import { noneOfThese, type SqlTypeDescriptor } from './descriptor.ts';
import { readExactFloat, readExactReal } from './exact-numbers.ts';
import { isNumeric, readShortFloat } from './short-numbers.ts';

const shared = {
  ...noneOfThese,
  family: 'number',
  rangeKey: undefined,
  lostAsText(text: string) {
    const digits = text
      .replace(/e.*$/i, '')
      .replace(/\D/g, '')
      .replace(/^0+|0+$/g, '');
    return digits.length > 6 ? 'SQL Server la escribiría en texto con 6 cifras' : undefined;
  },
  roundsText: true,
} as const;

export const float: SqlTypeDescriptor = {
  ...shared,
  tds: ['Float', 'FloatN:8'],
  declare: () => ({ name: 'float' }),
  transcode: ({ type }) => (type.name === 'Float' ? makeFixed(8, writeDouble) : makeNullable(8, writeDouble)),
  writeEvent: () => (value) => formatFloat(value as number),
  variant: { token: 0x3e, bytes: 8, write: writeDouble },
  load: { codec: () => ({ id: 0x6d, typeInfo: bytes(0x6d, 8), write: loadFloat, encode: encodeFloat(8) }) },
};

export const real: SqlTypeDescriptor = {
  ...shared,
  tds: ['Real', 'FloatN:4'],
  declare: () => ({ name: 'real' }),
  transcode: ({ type }) => (type.name === 'Real' ? makeFixed(4, writeSingle) : makeNullable(4, writeSingle)),
  writeEvent: () => (value) => formatReal(value as number),
  variant: { token: 0x3b, bytes: 4, write: writeSingle },
  load: { codec: () => ({ id: 0x6d, typeInfo: bytes(0x6d, 4), write: loadReal, encode: encodeFloat(4) }) },
};

function loadFloat(out: Out, value: string | boolean): void {
  const read = readExactFloat(numberText(value));
  out.writeUInt8(8);
  out.writeDoubleLE(read);
}

function loadReal(out: Out, value: string | boolean): void {
  const read = readExactReal(numberText(value));
  out.writeUInt8(4);
  out.writeFloatLE(read);
}

function encodeFloat(size: 4 | 8): Encode {
  // So many digits a real keeps, whatever the number; a double those of readShort.
  const bound = size === 4 ? 1e6 : 1e15;
  return (out, kind, json, start, end) => {
    if (!isNumeric(kind)) return false;
    const value = readShortFloat(json, start, end, bound);
    if (Number.isNaN(value)) return false;
    out.writeUInt8(size);
    if (size === 8) out.writeDoubleLE(value);
    else out.writeFloatLE(value);
    return true;
  };
}
