import { bytes, type Encode } from '../tds/codec.ts';
import { makeFixed, makeNullable } from '../tds/layouts.ts';
import type { RowIo } from '../tds/row-io.ts';
import { FALSE, TRUE } from '../tds/row-scanner.ts';
import type { Out } from '../tds/row-writer.ts';
import { UnfitValue } from '../tds/unfit.ts';
import { noneOfThese, type SqlTypeDescriptor, writeLiteral } from './descriptor.ts';

export const bit: SqlTypeDescriptor = {
  ...noneOfThese,
  family: 'number',
  tds: ['Bit', 'BitN'],
  declare: () => ({ name: 'bit' }),
  transcode: ({ type }) => (type.name === 'Bit' ? makeFixed(1, writeBit) : makeNullable(1, writeBit)),
  writeEvent: () => writeLiteral,
  variant: { token: 0x32, bytes: 1, write: writeBit },
  load: { codec: () => ({ id: 0x68, typeInfo: bytes(0x68, 1), write: loadBit, encode: encodeBit }) },
  rangeKey: undefined,
  digits: () => [1, 0],
  textLength: () => 1,
  // What is neither true, false nor a whole number SQL Server refuses.
  roundsText: false,
};

const trueBytes = Buffer.from('true');
const falseBytes = Buffer.from('false');

function writeBit(io: RowIo, position: number): void {
  const text = io.input[position] === 0 ? falseBytes : trueBytes;
  for (let i = 0; i < text.length; i++) io.out[io.at++] = text[i]!;
}

function loadBit(out: Out, value: string | boolean): void {
  const word = typeof value === 'boolean' ? String(value) : value.trim().toLowerCase();
  const on = word === 'true' || word === '1';
  if (!on && word !== 'false' && word !== '0') throw new UnfitValue('no es true, false, 1 ni 0');
  out.writeUInt8(1);
  out.writeUInt8(on ? 1 : 0);
}

const encodeBit: Encode = (out, kind) => {
  if (kind !== TRUE && kind !== FALSE) return false;
  out.writeUInt8(1);
  out.writeUInt8(kind === TRUE ? 1 : 0);
  return true;
};
