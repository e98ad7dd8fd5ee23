import { bytes, type Codec, type Encode, numberText } from '../tds/codec.ts';
import { makeFixed, makeNullable } from '../tds/layouts.ts';
import { uint32, writeInt32, writeInt64, writeInteger } from '../tds/numbers.ts';
import type { RowIo } from '../tds/row-io.ts';
import { noneOfThese, plainKey, type SqlTypeDescriptor, writeLiteral } from './descriptor.ts';
import { readInteger } from './exact-numbers.ts';
import { isNumeric, readShort, TWO_32 } from './short-numbers.ts';

interface Facts {
  name: 'tinyint' | 'smallint' | 'int' | 'bigint';
  /** tedious' name of the type that is never NULL. */
  tds: string;
  /** Of the same in sql_variant. */
  token: number;
  size: 1 | 2 | 4 | 8;
  low: number | bigint;
  high: number | bigint;
  digits: number;
  write(io: RowIo, position: number): void;
}

function describe({ name, tds, token, size, low, high, digits, write }: Facts): SqlTypeDescriptor {
  return {
    ...noneOfThese,
    family: 'number',
    tds: [tds, `IntN:${size}`],
    declare: () => ({ name }),
    transcode: ({ type }) => (type.name === tds ? makeFixed(size, write) : makeNullable(size, write)),
    writeEvent: () => writeLiteral,
    variant: { token, bytes: size, write },
    load: { codec: () => integerCodec(size, low, high) },
    rangeKey: plainKey,
    digits: () => [digits, 0],
    textLength: () => digits + 3,
    // It becomes `*`.
    lostAsText: (text, room) => (text.length > room ? `tiene ${text.length} caracteres y caben ${room}` : undefined),
    roundsText: true,
  };
}

function integerCodec(size: Facts['size'], low: number | bigint, high: number | bigint): Codec {
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

function encodeInteger(size: Facts['size'], low: number, high: number): Encode {
  return (out, kind, json, start, end) => {
    if (!isNumeric(kind)) return false;
    const value = readShort(json, start, end, 0);
    // Not so of NaN.
    if (!(value >= low && value <= high)) return false;
    out.writeUInt8(size);
    if (size === 4) out.writeInt32LE(value);
    else if (size === 8) {
      out.writeUInt32LE(value % TWO_32);
      out.writeInt32LE(Math.floor(value / TWO_32));
    } else if (size === 2) out.writeInt16LE(value);
    else out.writeUInt8(value);
    return true;
  };
}

export const tinyint = describe({
  name: 'tinyint',
  tds: 'TinyInt',
  token: 0x30,
  size: 1,
  low: 0,
  high: 255,
  digits: 3,
  write: (io, position) => writeInteger(io, io.input[position]!),
});

export const smallint = describe({
  name: 'smallint',
  tds: 'SmallInt',
  token: 0x34,
  size: 2,
  low: -32_768,
  high: 32_767,
  digits: 5,
  write: (io, position) => writeInt32(io, ((io.input[position]! | (io.input[position + 1]! << 8)) << 16) >> 16),
});

export const int = describe({
  name: 'int',
  tds: 'Int',
  token: 0x38,
  size: 4,
  low: -2_147_483_648,
  high: 2_147_483_647,
  digits: 10,
  write: (io, position) => writeInt32(io, uint32(io.input, position) | 0),
});

export const bigint = describe({
  name: 'bigint',
  tds: 'BigInt',
  token: 0x7f,
  size: 8,
  low: -9_223_372_036_854_775_808n,
  high: 9_223_372_036_854_775_807n,
  digits: 19,
  write: (io, position) => writeInt64(io, uint32(io.input, position), uint32(io.input, position + 4), 0),
});
