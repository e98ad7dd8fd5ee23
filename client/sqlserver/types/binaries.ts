import { formatBinary, formatRowversion, ROWVERSION_USER_TYPE } from '../../../protocol/rows/values.ts';
import { writeBase64, writeHex } from '../tds/bytes.ts';
import { type Codec, lengthPrefix, textOnly } from '../tds/codec.ts';
import { MAX_LENGTH, makeChunked, makePointed, makeShort } from '../tds/layouts.ts';
import { type PieceIo, writeQuoted } from '../tds/piece-writer.ts';
import type { RowIo } from '../tds/row-io.ts';
import { UnfitValue } from '../tds/unfit.ts';
import { noneOfThese, quote, type ReadableType, type SqlTypeDescriptor } from './descriptor.ts';

const shared = {
  ...noneOfThese,
  family: 'bytes',
  writeEvent: () => (value: unknown) => quote(formatBinary(value as Buffer)),
  rangeKey: undefined,
  textStyle: 1,
  roundsText: false,
} as const;

function writeVariant(io: RowIo, start: number, end: number): void {
  writeQuoted(io, start, end, writeBase64);
}

export const binary: SqlTypeDescriptor = {
  ...shared,
  tds: ['Binary'],
  declare: (column) => (isRowversion(column) ? undefined : { name: 'binary', length: column.dataLength ?? 1 }),
  transcode: (column) => makeShort(isRowversion(column) ? writeRowversion : writeBase64),
  writeEvent(column) {
    if (isRowversion(column)) return (value) => quote(formatRowversion(value as Buffer));
    return shared.writeEvent();
  },
  variant: { token: 0xad, write: writeVariant },
  load: { codec: ({ length }) => binaryCodec(0xad, length ?? 1) },
};

export const varbinary: SqlTypeDescriptor = {
  ...shared,
  tds: ['VarBinary'],
  declare: ({ dataLength }) => ({ name: 'varbinary', length: dataLength === MAX_LENGTH ? 'max' : (dataLength ?? 1) }),
  transcode: ({ dataLength }) => (dataLength === MAX_LENGTH ? makeChunked(writeBase64) : makeShort(writeBase64)),
  variant: { token: 0xa5, write: writeVariant },
  load: { codec: ({ length }) => binaryCodec(0xa5, length ?? 1) },
};

export const image: SqlTypeDescriptor = {
  ...shared,
  tds: ['Image'],
  declare: () => ({ name: 'image' }),
  transcode: () => makePointed(writeBase64),
  variant: undefined,
  load: { as: () => ({ name: 'varbinary', length: 'max' }) },
};

/** hierarchyid, geography, geometry and what a customer has made. */
export const clr: ReadableType = {
  tds: ['UDT'],
  transcode: () => makeChunked(writeBase64),
  writeEvent: shared.writeEvent,
};

/** The wire knows it as a binary(8). */
function isRowversion({ userType }: { userType: number }): boolean {
  return userType === ROWVERSION_USER_TYPE;
}

/** `0x00000000000007D1`; a piece writer for whole values. */
function writeRowversion(io: PieceIo, start: number, end: number): number {
  io.reserve((end - start) * 2 + 2);
  io.out[io.at++] = 0x30;
  io.out[io.at++] = 0x78;
  for (let position = start; position < end; position++) writeHex(io, io.input[position]!);
  return end;
}

function binaryCodec(id: number, length: number | 'max'): Codec {
  const { nil, open, close } = lengthPrefix(length === 'max');
  const typeInfo = Buffer.from([id, 0, 0]);
  typeInfo.writeUInt16LE(length === 'max' ? MAX_LENGTH : length, 1);
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
