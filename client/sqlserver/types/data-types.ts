import type { DataType } from 'tedious/lib/data-type.js';
import { formatSqlType, type SqlTypeSpec } from '../../../protocol/rows/sql-types.ts';
import type { SqlServerError } from '../errors.ts';
import { makeUnfitFinder, makeUnitTest } from '../tds/code-pages.ts';
import { bytes, type Cell, type Codec, type Out, textOnly, writeNull } from '../tds/codec.ts';
import {
  encodeBit,
  encodeDecimal,
  encodeFloat,
  encodeGuid,
  encodeInteger,
  encodeMoney,
  encodeSmallMoney,
  encodeText,
} from './byte-codecs.ts';
import { date, dateTime, dateTime2, dateTimeOffset, smallDateTime, time } from './dates.ts';
import { readDecimal, readExactFloat, readExactReal, readInteger, UnfitValue } from './exact-numbers.ts';

/**
 * Types for tedious that send a value exactly as its text says it. tedious' own take doubles and Dates: they lose
 * digits of decimals, of money and of fractions of a second, and read zone-less text in the agent's time zone.
 *
 * Layouts: [MS-TDS] 2.2.5.4 (type ids, TYPE_INFO) and 2.2.5.5 (values).
 */

export interface ExactTypeOptions {
  nullable: boolean;
  /** In the place of the type's own (column-codec.ts). */
  codec?: Codec;
  /** What to throw for a value that does not fit; `rule` is Spanish, without a full stop. */
  refuse: (value: string, rule: string) => SqlServerError;
}

/** The rule that a NULL breaks. */
export const NOT_NULLABLE = 'la columna no admite NULL';

/** The type object of a column or parameter of `type`, which is one that `loadType` answers. */
export function exactType(type: SqlTypeSpec, { nullable, codec = codecOf(type), refuse }: ExactTypeOptions): DataType {
  const declaration = formatSqlType(type).toLowerCase();
  return {
    id: codec.id,
    type: type.name.toUpperCase(),
    name: `Exact ${declaration}`,
    declaration: () => declaration,
    validate: (value: unknown) => value,
    writeTypeInfo: (out, { collation }) => codec.typeInfo(out, collation),
    writeValue(out, parameter) {
      const value = parameter.value as Cell;
      if (value === null) {
        if (!nullable) throw refuse('NULL', NOT_NULLABLE);
        writeNull(codec, out);
        return;
      }
      try {
        codec.write(out, value);
      } catch (error) {
        throw error instanceof UnfitValue ? refuse(String(value), error.rule) : error;
      }
    },
  };
}

/**
 * How `type`, which is one that `loadType` answers, is written. Of nchar and nvarchar, characters that `codePage`, as tedious names
 * it, lacks are refused.
 */
export function codecOf(type: SqlTypeSpec, codePage?: string): Codec {
  switch (type.name) {
    case 'bit':
      return { id: 0x68, typeInfo: bytes(0x68, 1), write: writeBit, encode: encodeBit };
    case 'tinyint':
      return integer(1, 0, 255);
    case 'smallint':
      return integer(2, -32_768, 32_767);
    case 'int':
      return integer(4, -2_147_483_648, 2_147_483_647);
    case 'bigint':
      return integer(8, -9_223_372_036_854_775_808n, 9_223_372_036_854_775_807n);
    case 'decimal':
    case 'numeric':
      return decimal(type.name === 'decimal' ? 0x6a : 0x6c, type.precision ?? 18, type.scale ?? 0);
    case 'money':
      return { id: 0x6e, typeInfo: bytes(0x6e, 8), write: writeMoney, encode: encodeMoney };
    case 'smallmoney':
      return { id: 0x6e, typeInfo: bytes(0x6e, 4), write: writeSmallMoney, encode: encodeSmallMoney };
    case 'float':
      return { id: 0x6d, typeInfo: bytes(0x6d, 8), write: writeFloat, encode: encodeFloat(8) };
    case 'real':
      return { id: 0x6d, typeInfo: bytes(0x6d, 4), write: writeReal, encode: encodeFloat(4) };
    case 'uniqueidentifier':
      return { id: 0x24, typeInfo: bytes(0x24, 16), write: writeGuid, encode: encodeGuid };
    case 'date':
      return date();
    case 'time':
      return time(type.scale ?? 7);
    case 'datetime2':
      return dateTime2(type.scale ?? 7);
    case 'datetimeoffset':
      return dateTimeOffset(type.scale ?? 7);
    case 'datetime':
      return dateTime();
    case 'smalldatetime':
      return smallDateTime();
    case 'nchar':
      return characters(0xef, type.length ?? 1, codePage);
    case 'nvarchar':
      return characters(0xe7, type.length ?? 1, codePage);
    case 'binary':
      return binary(0xad, type.length ?? 1);
    case 'varbinary':
      return binary(0xa5, type.length ?? 1);
    default:
      throw new Error(`${type.name} does not travel as itself: loadType answers what it travels as`);
  }
}

/** A JSON boolean in a column of numbers is 1 or 0. */
function numberText(value: string | boolean): string {
  return typeof value === 'string' ? value : value ? '1' : '0';
}

function writeBit(out: Out, value: string | boolean): void {
  const word = typeof value === 'boolean' ? String(value) : value.trim().toLowerCase();
  const on = word === 'true' || word === '1';
  if (!on && word !== 'false' && word !== '0') throw new UnfitValue('no es true, false, 1 ni 0');
  out.writeUInt8(1);
  out.writeUInt8(on ? 1 : 0);
}

function integer(size: 1 | 2 | 4 | 8, low: number | bigint, high: number | bigint): Codec {
  return {
    id: 0x26,
    typeInfo: bytes(0x26, size),
    encode: encodeInteger(size, Number(low), Number(high)),
    write(out, value) {
      const read = readInteger(numberText(value), low, high);
      out.writeUInt8(size);
      if (size === 8) out.writeBigInt64LE(BigInt(read));
      else if (size === 4) out.writeInt32LE(Number(read));
      else if (size === 2) out.writeInt16LE(Number(read));
      else out.writeUInt8(Number(read));
    },
  };
}

function decimal(id: number, precision: number, scale: number): Codec {
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
        out.writeUInt32LE(magnitude % 0x1_0000_0000);
        if (size > 4) out.writeUInt32LE(Math.floor(magnitude / 0x1_0000_0000));
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

function writeMoney(out: Out, value: string | boolean): void {
  const units = BigInt(readDecimal(numberText(value), 19, 4));
  if (units < -9_223_372_036_854_775_808n || units > 9_223_372_036_854_775_807n) {
    throw new UnfitValue('pasa de ±922337203685477.5807');
  }
  out.writeUInt8(8);
  // The high half goes first, each half little-endian ([MS-TDS] 2.2.5.5.1.2).
  out.writeInt32LE(Number(units >> 32n));
  out.writeUInt32LE(Number(units & 0xffff_ffffn));
}

function writeSmallMoney(out: Out, value: string | boolean): void {
  const units = Number(readDecimal(numberText(value), 10, 4));
  if (units < -2_147_483_648 || units > 2_147_483_647) throw new UnfitValue('pasa de ±214748.3647');
  out.writeUInt8(4);
  out.writeInt32LE(units);
}

function writeFloat(out: Out, value: string | boolean): void {
  const read = readExactFloat(numberText(value));
  out.writeUInt8(8);
  out.writeDoubleLE(read);
}

function writeReal(out: Out, value: string | boolean): void {
  const read = readExactReal(numberText(value));
  out.writeUInt8(4);
  out.writeFloatLE(read);
}

const guidShape = /^\{?([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{12})\}?$/i;

function writeGuid(out: Out, value: string | boolean): void {
  const match = guidShape.exec(textOnly(value).trim());
  if (match === null) throw new UnfitValue('no es un UNIQUEIDENTIFIER');
  out.writeUInt8(16);
  // The first three groups are little-endian numbers, the last two plain bytes.
  out.writeUInt32LE(Number.parseInt(match[1]!, 16));
  out.writeUInt16LE(Number.parseInt(match[2]!, 16));
  out.writeUInt16LE(Number.parseInt(match[3]!, 16));
  out.writeBuffer(Buffer.from(match[4]! + match[5]!, 'hex'));
}

const noCollation = Buffer.alloc(5);
const plpUnknownLength = Buffer.from([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
const plpNull = Buffer.alloc(8, 0xff);

/** A two-byte length, or PLP for MAX ([MS-TDS] 2.2.5.2.3), each with its own NULL. */
function lengthPrefix(max: boolean) {
  return {
    nil: (out: Out) => (max ? out.writeBuffer(plpNull) : out.writeUInt16LE(0xffff)),
    open(out: Out, byteLength: number): void {
      if (max) {
        out.writeBuffer(plpUnknownLength);
        if (byteLength > 0) out.writeUInt32LE(byteLength);
      } else out.writeUInt16LE(byteLength);
    },
    close(out: Out): void {
      if (max) out.writeUInt32LE(0);
    },
  };
}

function characters(id: number, length: number | 'max', codePage: string | undefined): Codec {
  const findUnfit = makeUnfitFinder(codePage);
  const { nil, open, close } = lengthPrefix(length === 'max');
  return {
    id,
    typeInfo(out, collation) {
      out.writeUInt8(id);
      out.writeUInt16LE(length === 'max' ? 0xffff : length * 2);
      out.writeBuffer(collation?.toBuffer().subarray(0, 5) ?? noCollation);
    },
    nil,
    encode: encodeText(length, makeUnitTest(codePage)),
    write(out, value) {
      const text = String(value);
      if (length !== 'max' && text.length > length) {
        throw new UnfitValue(`tiene ${text.length} caracteres y caben ${length}`);
      }
      const unfit = findUnfit?.(text);
      if (unfit !== undefined) {
        throw new UnfitValue(`la columna es de la página de códigos ${codePage}, que no tiene «${unfit}»`);
      }
      open(out, text.length * 2);
      out.writeString(text, 'ucs2');
      close(out);
    },
  };
}

function binary(id: number, length: number | 'max'): Codec {
  const { nil, open, close } = lengthPrefix(length === 'max');
  const typeInfo = Buffer.from([id, 0, 0]);
  typeInfo.writeUInt16LE(length === 'max' ? 0xffff : length, 1);
  return {
    id,
    typeInfo: (out) => out.writeBuffer(typeInfo),
    nil,
    write(out, value) {
      const data = readBinary(textOnly(value));
      if (length !== 'max' && data.length > length)
        throw new UnfitValue(`tiene ${data.length} bytes y caben ${length}`);
      open(out, data.length);
      out.writeBuffer(data);
      close(out);
    },
  };
}

/**
 * Base64, which is how bytes leave SQL Server and PostgreSQL alike; else hexadecimal after `0x`, as a rowversion's is, or
 * `\x`. A few texts are both, such as `0x12`: they are base64, since real bytes (D3 1D 76) are written so.
 */
function readBinary(text: string): Buffer {
  if (text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text)) return Buffer.from(text, 'base64');
  if (/^[0\\][xX](?:[0-9a-fA-F]{2})*$/.test(text)) return Buffer.from(text.slice(2), 'hex');
  throw new UnfitValue('no es base64 ni hexadecimal (0x…)');
}
