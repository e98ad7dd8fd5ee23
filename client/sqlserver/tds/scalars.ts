import { uint32, writeInt32, writeInt64, writeInteger } from './numbers.ts';
import type { PieceWriter, RowIo } from './row-io.ts';

/** The values that a column and a sql_variant write alike. */

const QUOTE = 0x22;
const trueBytes = Buffer.from('true');
const falseBytes = Buffer.from('false');

/** `null` */
export function writeNull(io: RowIo): void {
  const { out, at } = io;
  out[at] = 0x6e;
  out[at + 1] = 0x75;
  out[at + 2] = 0x6c;
  out[at + 3] = 0x6c;
  io.at = at + 4;
}

export function writeBit(io: RowIo, position: number): void {
  const text = io.input[position] === 0 ? falseBytes : trueBytes;
  for (let i = 0; i < text.length; i++) io.out[io.at++] = text[i]!;
}

export function writeTinyInt(io: RowIo, position: number): void {
  writeInteger(io, io.input[position]!);
}

export function writeSmallInt(io: RowIo, position: number): void {
  writeInt32(io, ((io.input[position]! | (io.input[position + 1]! << 8)) << 16) >> 16);
}

export function writeInt(io: RowIo, position: number): void {
  writeInt32(io, uint32(io.input, position) | 0);
}

export function writeBigInt(io: RowIo, position: number): void {
  writeInt64(io, uint32(io.input, position), uint32(io.input, position + 4), 0);
}

export function writeSmallMoney(io: RowIo, position: number): void {
  const low = uint32(io.input, position);
  writeInt64(io, low, low >= 0x8000_0000 ? 0xffff_ffff : 0, 4);
}

/** The high half comes first ([MS-TDS] 2.2.5.5.1.2). */
export function writeMoney(io: RowIo, position: number): void {
  writeInt64(io, uint32(io.input, position + 4), uint32(io.input, position), 4);
}

/** The inside of a string from a whole value, in quotes. */
export function writeQuoted(io: RowIo, start: number, end: number, write: PieceWriter): void {
  io.out[io.at++] = QUOTE;
  write(io, start, end, true);
  io.reserve(1);
  io.out[io.at++] = QUOTE;
}
