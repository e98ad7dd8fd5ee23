import type { ColumnMetadata } from 'tedious/lib/token/colmetadata-token-parser.js';
import { ROWVERSION_USER_TYPE } from '../../../protocol/rows/values.ts';
import { writeBase64, writeGuid, writeRowversion } from '../types/bytes.ts';
import {
  writeDate,
  writeDateTime,
  writeDateTime2,
  writeDateTimeOffset,
  writeSmallDateTime,
  writeTime,
} from '../types/date-writers.ts';
import { writeVariant } from '../types/sql-variant.ts';
import { makeCodePageWriter } from './code-pages.ts';
import { uint32, writeDecimal, writeDouble, writeSingle } from './numbers.ts';
import { IS_LONG, NEEDS_MORE, type PieceWriter, type RowIo, type ValueWriter } from './row-io.ts';
import {
  writeBigInt,
  writeBit,
  writeInt,
  writeMoney,
  writeNull,
  writeQuoted,
  writeSmallInt,
  writeSmallMoney,
  writeTinyInt,
} from './scalars.ts';
import { writeUtf16 } from './text.ts';

/** What the transcoder reads of a column of tedious' COLMETADATA. */
export type Column = Pick<ColumnMetadata, 'colName' | 'userType' | 'scale' | 'dataLength' | 'collation'> & {
  type: { name: string };
};

const MAX_LENGTH = 0xffff;
const NULL_LENGTH = 0xffff;

/** The writer of a column's values, of the column alone; undefined where its type, or its code page, is not known. */
export function makeValueWriter(column: Column): ValueWriter | undefined {
  const { dataLength } = column;
  switch (column.type.name) {
    case 'Null':
      return (io, position) => {
        writeNull(io);
        return position;
      };
    case 'Bit':
      return makeFixed(1, writeBit);
    case 'TinyInt':
      return makeFixed(1, writeTinyInt);
    case 'SmallInt':
      return makeFixed(2, writeSmallInt);
    case 'Int':
      return makeFixed(4, writeInt);
    case 'BigInt':
      return makeFixed(8, writeBigInt);
    case 'Real':
      return makeFixed(4, writeSingle);
    case 'Float':
      return makeFixed(8, writeDouble);
    case 'SmallMoney':
      return makeFixed(4, writeSmallMoney);
    case 'Money':
      return makeFixed(8, writeMoney);
    case 'SmallDateTime':
      return makeFixed(4, writeSmallDateTime);
    case 'DateTime':
      return makeFixed(8, writeDateTime);
    case 'BitN':
      return makeNullable(1, writeBit);
    case 'IntN':
      if (dataLength === 1) return makeNullable(1, writeTinyInt);
      if (dataLength === 2) return makeNullable(2, writeSmallInt);
      if (dataLength === 4) return makeNullable(4, writeInt);
      return dataLength === 8 ? makeNullable(8, writeBigInt) : undefined;
    case 'FloatN':
      if (dataLength === 4) return makeNullable(4, writeSingle);
      return dataLength === 8 ? makeNullable(8, writeDouble) : undefined;
    case 'MoneyN':
      if (dataLength === 4) return makeNullable(4, writeSmallMoney);
      return dataLength === 8 ? makeNullable(8, writeMoney) : undefined;
    case 'DateTimeN':
      if (dataLength === 4) return makeNullable(4, writeSmallDateTime);
      return dataLength === 8 ? makeNullable(8, writeDateTime) : undefined;
    case 'Date':
      return makeNullable(3, writeDate);
    case 'UniqueIdentifier':
      return makeNullable(16, writeGuid);
    case 'NumericN':
    case 'DecimalN':
      return makeSized(column.scale ?? 0, writeDecimal);
    case 'Time':
      return makeSized(column.scale ?? 7, writeTime);
    case 'DateTime2':
      return makeSized(column.scale ?? 7, writeDateTime2);
    case 'DateTimeOffset':
      return makeSized(column.scale ?? 7, writeDateTimeOffset);
    case 'Variant':
      return writeVariant;
    case 'NChar':
      return makeShort(writeUtf16);
    case 'NVarChar':
      return dataLength === MAX_LENGTH ? makeChunked(writeUtf16) : makeShort(writeUtf16);
    case 'NText':
      return makePointed(writeUtf16);
    case 'Xml':
      return makeChunked(writeUtf16);
    case 'Char':
      return mapDefined(makeCodePageWriter(column.collation?.codepage), makeShort);
    case 'VarChar':
      return mapDefined(
        makeCodePageWriter(column.collation?.codepage),
        dataLength === MAX_LENGTH ? makeChunked : makeShort,
      );
    case 'Text':
      return mapDefined(makeCodePageWriter(column.collation?.codepage), makePointed);
    case 'Binary':
      return makeShort(column.userType === ROWVERSION_USER_TYPE ? writeRowversion : writeBase64);
    case 'VarBinary':
      return dataLength === MAX_LENGTH ? makeChunked(writeBase64) : makeShort(writeBase64);
    case 'Image':
      return makePointed(writeBase64);
    case 'UDT':
      return makeChunked(writeBase64);
    default:
      return undefined;
  }
}

/** A type of `bytes` bytes that is never NULL. */
function makeFixed(bytes: number, write: (io: RowIo, position: number) => void): ValueWriter {
  return (io, position) => {
    if (io.end - position < bytes) return NEEDS_MORE;
    write(io, position);
    return position + bytes;
  };
}

/** A type of `bytes` bytes behind a byte with their number, 0 for NULL. */
function makeNullable(bytes: number, write: (io: RowIo, position: number) => void): ValueWriter {
  return (io, position) => {
    if (position >= io.end) return NEEDS_MORE;
    const length = io.input[position]!;
    if (length === 0) {
      writeNull(io);
      return position + 1;
    }
    if (length !== bytes) throw new Error(`TDS: a value of ${length} bytes where its type has ${bytes}`);
    if (io.end - position <= bytes) return NEEDS_MORE;
    write(io, position + 1);
    return position + 1 + bytes;
  };
}

/** A type with a scale whose values are of several lengths, behind a byte with the length, 0 for NULL. */
function makeSized(
  scale: number,
  write: (io: RowIo, position: number, bytes: number, scale: number) => void,
): ValueWriter {
  return (io, position) => {
    if (position >= io.end) return NEEDS_MORE;
    const length = io.input[position]!;
    if (length === 0) {
      writeNull(io);
      return position + 1;
    }
    if (io.end - position <= length) return NEEDS_MORE;
    write(io, position + 1, length, scale);
    return position + 1 + length;
  };
}

/** Up to 8,000 bytes behind 2 bytes with their number. */
function makeShort(write: PieceWriter): ValueWriter {
  return (io, position) => {
    if (io.end - position < 2) return NEEDS_MORE;
    const length = io.input[position]! | (io.input[position + 1]! << 8);
    const start = position + 2;
    if (length === NULL_LENGTH) {
      writeNull(io);
      return start;
    }
    if (io.end - start < length) return NEEDS_MORE;
    writeQuoted(io, start, start + length, write);
    return start + length;
  };
}

/** (max) types, xml and CLR types: partially length-prefixed ([MS-TDS] 2.2.5.2.3). */
function makeChunked(write: PieceWriter): ValueWriter {
  return (io, position) => {
    if (io.end - position < 8) return NEEDS_MORE;
    const low = uint32(io.input, position);
    const high = uint32(io.input, position + 4);
    const start = position + 12;
    if (high === 0xffff_ffff && low === 0xffff_ffff) {
      writeNull(io);
      return position + 8;
    }
    // Most values are one chunk and all there.
    if (high === 0 && io.end - start >= low + 4 && low > 0) {
      const end = start + low;
      if (uint32(io.input, position + 8) === low && uint32(io.input, end) === 0) {
        writeQuoted(io, start, end, write);
        return end + 4;
      }
    }
    const unknown = high === 0xffff_ffff && low === 0xffff_fffe;
    io.long.beginChunks(io, write, unknown ? -1 : high * 0x1_0000_0000 + low);
    io.longStart = position + 8;
    return IS_LONG;
  };
}

/** text, ntext and image: a text pointer of so many bytes (0 for NULL), 8 bytes of timestamp, 4 with the length. */
function makePointed(write: PieceWriter): ValueWriter {
  return (io, position) => {
    if (position >= io.end) return NEEDS_MORE;
    const pointer = io.input[position]!;
    if (pointer === 0) {
      writeNull(io);
      return position + 1;
    }
    const start = position + 1 + pointer + 8 + 4;
    if (start > io.end) return NEEDS_MORE;
    const length = uint32(io.input, start - 4);
    if (io.end - start >= length) {
      writeQuoted(io, start, start + length, write);
      return start + length;
    }
    io.long.beginRun(io, write, length);
    io.longStart = start;
    return IS_LONG;
  };
}

function mapDefined<T, U>(value: T | undefined, map: (value: T) => U): U | undefined {
  return value === undefined ? undefined : map(value);
}
