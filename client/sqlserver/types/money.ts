import { bytes, type Encode, numberText } from '../tds/codec.ts';
import { makeFixed, makeNullable } from '../tds/layouts.ts';
import { uint32, writeInt64 } from '../tds/numbers.ts';
import type { RowIo } from '../tds/row-io.ts';
import type { Out } from '../tds/row-writer.ts';
import { UnfitValue } from '../tds/unfit.ts';
import { decimalOf } from './decimals.ts';
import { noneOfThese, plainKey, type SqlTypeDescriptor } from './descriptor.ts';
import { readDecimal } from './exact-numbers.ts';
import { isNumeric, readShort, TWO_32 } from './short-numbers.ts';

/** What money and smallmoney have in common: four decimals. */
const shared = {
  ...noneOfThese,
  family: 'number',
  writeEvent: () => (value: unknown) => decimalOf(value as number, 4),
  rangeKey: plainKey,
  lostAsText: (text: string) =>
    /\.\d\d0*[1-9]/.test(text) ? 'SQL Server la escribiría en texto con 2 decimales' : undefined,
  roundsText: true,
} as const;

export const money: SqlTypeDescriptor = {
  ...shared,
  tds: ['Money', 'MoneyN:8'],
  declare: () => ({ name: 'money' }),
  transcode: ({ type }) => (type.name === 'Money' ? makeFixed(8, writeMoney) : makeNullable(8, writeMoney)),
  variant: { token: 0x3c, bytes: 8, write: writeMoney },
  load: { codec: () => ({ id: 0x6e, typeInfo: bytes(0x6e, 8), write: loadMoney, encode: encodeMoney }) },
};

export const smallmoney: SqlTypeDescriptor = {
  ...shared,
  tds: ['SmallMoney', 'MoneyN:4'],
  declare: () => ({ name: 'smallmoney' }),
  transcode: ({ type }) =>
    type.name === 'SmallMoney' ? makeFixed(4, writeSmallMoney) : makeNullable(4, writeSmallMoney),
  variant: { token: 0x7a, bytes: 4, write: writeSmallMoney },
  load: { codec: () => ({ id: 0x6e, typeInfo: bytes(0x6e, 4), write: loadSmallMoney, encode: encodeSmallMoney }) },
};

/** The high half comes first ([MS-TDS] 2.2.5.5.1.2). */
function writeMoney(io: RowIo, position: number): void {
  writeInt64(io, uint32(io.input, position + 4), uint32(io.input, position), 4);
}

function writeSmallMoney(io: RowIo, position: number): void {
  const low = uint32(io.input, position);
  writeInt64(io, low, low >= 0x8000_0000 ? 0xffff_ffff : 0, 4);
}

function loadMoney(out: Out, value: string | boolean): void {
  const units = BigInt(readDecimal(numberText(value), 19, 4));
  if (units < -9_223_372_036_854_775_808n || units > 9_223_372_036_854_775_807n) {
    throw new UnfitValue('pasa de ±922337203685477.5807');
  }
  out.writeUInt8(8);
  // The high half goes first, each half little-endian ([MS-TDS] 2.2.5.5.1.2).
  out.writeInt32LE(Number(units >> 32n));
  out.writeUInt32LE(Number(units & 0xffff_ffffn));
}

function loadSmallMoney(out: Out, value: string | boolean): void {
  const units = Number(readDecimal(numberText(value), 10, 4));
  if (units < -2_147_483_648 || units > 2_147_483_647) throw new UnfitValue('pasa de ±214748.3647');
  out.writeUInt8(4);
  out.writeInt32LE(units);
}

const encodeMoney: Encode = (out, kind, json, start, end) => {
  if (!isNumeric(kind)) return false;
  const units = readShort(json, start, end, 4);
  if (Number.isNaN(units)) return false;
  out.writeUInt8(8);
  out.writeInt32LE(Math.floor(units / TWO_32));
  out.writeUInt32LE(units % TWO_32);
  return true;
};

const encodeSmallMoney: Encode = (out, kind, json, start, end) => {
  if (!isNumeric(kind)) return false;
  const units = readShort(json, start, end, 4);
  if (!(units >= -2_147_483_648 && units <= 2_147_483_647)) return false;
  out.writeUInt8(4);
  out.writeInt32LE(units);
  return true;
};
