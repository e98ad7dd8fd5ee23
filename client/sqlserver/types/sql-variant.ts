import { Collation } from 'tedious/lib/collation.js';
import { makeCodePageWriter } from '../tds/code-pages.ts';
import { uint32, writeDecimal, writeDouble, writeSingle } from '../tds/numbers.ts';
import { NEEDS_MORE, type PieceWriter, type RowIo } from '../tds/row-io.ts';
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
} from '../tds/scalars.ts';
import { writeUtf16 } from '../tds/text.ts';
import { writeBase64, writeGuid } from './bytes.ts';
import {
  writeDate,
  writeDateTime,
  writeDateTime2,
  writeDateTimeOffset,
  writeSmallDateTime,
  writeTime,
} from './date-writers.ts';

/** sql_variant holds at most 8,016 bytes. */
const MAX_BYTES = 8016;

/** Base types without properties ([MS-TDS] 2.2.5.5.4): their token, their bytes, their writer. */
const plainTypes = new Map<number, { bytes: number; write: (io: RowIo, position: number) => void }>([
  [0x24, { bytes: 16, write: writeGuid }],
  [0x28, { bytes: 3, write: writeDate }],
  [0x30, { bytes: 1, write: writeTinyInt }],
  [0x32, { bytes: 1, write: writeBit }],
  [0x34, { bytes: 2, write: writeSmallInt }],
  [0x38, { bytes: 4, write: writeInt }],
  [0x3a, { bytes: 4, write: writeSmallDateTime }],
  [0x3b, { bytes: 4, write: writeSingle }],
  [0x3c, { bytes: 8, write: writeMoney }],
  [0x3d, { bytes: 8, write: writeDateTime }],
  [0x3e, { bytes: 8, write: writeDouble }],
  [0x7a, { bytes: 4, write: writeSmallMoney }],
  [0x7f, { bytes: 8, write: writeBigInt }],
]);

/**
 * A sql_variant as its base type: 4 bytes with the length (0 for NULL), then the base type, how many bytes of
 * properties, the properties, the value ([MS-TDS] 2.2.5.5.4). Throws Error for a base type that SQL Server does not have.
 */
export function writeVariant(io: RowIo, position: number): number {
  if (io.end - position < 4) return NEEDS_MORE;
  const total = uint32(io.input, position);
  if (total === 0) {
    writeNull(io);
    return position + 4;
  }
  if (total > MAX_BYTES + 16) throw new Error(`TDS: a sql_variant of ${total} bytes`);
  if (io.end - position - 4 < total) return NEEDS_MORE;
  const type = io.input[position + 4]!;
  const properties = position + 6;
  const start = properties + io.input[position + 5]!;
  const end = position + 4 + total;
  const plain = plainTypes.get(type);
  if (plain !== undefined) {
    if (end - start !== plain.bytes) throw new Error(`TDS: a sql_variant of type ${type} of ${end - start} bytes`);
    plain.write(io, start);
  } else {
    writeWithProperties(io, type, properties, start, end);
  }
  return end;
}

function writeWithProperties(io: RowIo, type: number, properties: number, start: number, end: number): void {
  const { input } = io;
  switch (type) {
    case 0x29:
      writeTime(io, start, end - start, input[properties]!);
      break;
    case 0x2a:
      writeDateTime2(io, start, end - start, input[properties]!);
      break;
    case 0x2b:
      writeDateTimeOffset(io, start, end - start, input[properties]!);
      break;
    case 0x6a:
    case 0x6c:
      writeDecimal(io, start, end - start, input[properties + 1]!);
      break;
    case 0xa5:
    case 0xad:
      writeQuoted(io, start, end, writeBase64);
      break;
    case 0xa7:
    case 0xaf:
      writeQuoted(io, start, end, textWriter(Collation.fromBuffer(input, properties)));
      break;
    case 0xe7:
    case 0xef:
      writeQuoted(io, start, end, writeUtf16);
      break;
    default:
      throw new Error(`TDS: a sql_variant of the unknown type ${type}`);
  }
}

function textWriter({ codepage, lcid, sortId }: Collation): PieceWriter {
  const write = makeCodePageWriter(codepage);
  if (write === undefined) throw new Error(`TDS: a sql_variant in the unknown collation ${lcid}/${sortId}`);
  return write;
}
