import { Collation } from 'tedious/lib/collation.js';
import type { SqlTypeSpec } from '../../../protocol/rows/sql-types.ts';
import { makeCodePageWriter } from '../tds/code-pages.ts';
import { MAX_LENGTH, makeChunked, makePointed, makeShort } from '../tds/layouts.ts';
import { type PieceWriter, writeQuoted } from '../tds/piece-writer.ts';
import type { RowIo, ValueWriter } from '../tds/row-io.ts';
import { writeUtf16 } from '../tds/text.ts';
import { characterCodec } from './character-codec.ts';
import { type Column, type EventWriter, noneOfThese, plainKey, type SqlTypeDescriptor } from './descriptor.ts';

const shared = { ...noneOfThese, family: 'text', roundsText: false } as const;

/** Characters of two bytes. */
const national = {
  ...shared,
  writeEvent: (_: Column, writeText: (text: string) => string) => (value: unknown) => writeText(value as string),
} as const;

/** Characters of the code page of a collation. */
const paged = {
  ...shared,
  hasCodePage: true,
  writeEvent: ({ collation }: Column, writeText: (text: string) => string) =>
    codePageWriter(collation?.codepage, writeText),
} as const;

/** The most characters that travel as nchar(n) and nvarchar(n). */
const NATIONAL_MAX = 4000;

export const char: SqlTypeDescriptor = {
  ...paged,
  tds: ['Char'],
  declare: ({ dataLength }) => ({ name: 'char', length: dataLength ?? 1 }),
  transcode: (column) => inPage(column, makeShort),
  variant: { token: 0xaf, write: writePagedVariant },
  load: {
    as: ({ length }) =>
      length !== 'max' && length! <= NATIONAL_MAX
        ? { name: 'nchar', length: length! }
        : { name: 'nvarchar', length: 'max' },
  },
  rangeKey: collatedKey,
};

export const varchar: SqlTypeDescriptor = {
  ...paged,
  tds: ['VarChar'],
  declare: ({ dataLength }) => ({ name: 'varchar', length: dataLength === MAX_LENGTH ? 'max' : (dataLength ?? 1) }),
  transcode: (column) => inPage(column, column.dataLength === MAX_LENGTH ? makeChunked : makeShort),
  variant: { token: 0xa7, write: writePagedVariant },
  load: {
    as: ({ length }) => ({ name: 'nvarchar', length: length === 'max' || length! > NATIONAL_MAX ? 'max' : length! }),
  },
  rangeKey: collatedKey,
};

export const text: SqlTypeDescriptor = {
  ...paged,
  tds: ['Text'],
  declare: () => ({ name: 'text' }),
  transcode: (column) => inPage(column, makePointed),
  variant: undefined,
  load: { as: asLongText },
  rangeKey: undefined,
};

export const nchar: SqlTypeDescriptor = {
  ...national,
  tds: ['NChar'],
  declare: ({ dataLength }) => ({ name: 'nchar', length: (dataLength ?? 2) / 2 }),
  transcode: () => makeShort(writeUtf16),
  variant: { token: 0xef, write: writeNationalVariant },
  load: { codec: ({ length }, codePage) => characterCodec(0xef, length ?? 1, codePage) },
  rangeKey: plainKey,
};

export const nvarchar: SqlTypeDescriptor = {
  ...national,
  tds: ['NVarChar'],
  declare: ({ dataLength }) => ({
    name: 'nvarchar',
    length: dataLength === MAX_LENGTH ? 'max' : (dataLength ?? 2) / 2,
  }),
  transcode: ({ dataLength }) => (dataLength === MAX_LENGTH ? makeChunked(writeUtf16) : makeShort(writeUtf16)),
  variant: { token: 0xe7, write: writeNationalVariant },
  load: { codec: ({ length }, codePage) => characterCodec(0xe7, length ?? 1, codePage) },
  rangeKey: plainKey,
};

export const ntext: SqlTypeDescriptor = {
  ...national,
  tds: ['NText'],
  declare: () => ({ name: 'ntext' }),
  transcode: () => makePointed(writeUtf16),
  variant: undefined,
  load: { as: asLongText },
  rangeKey: undefined,
};

export const xml: SqlTypeDescriptor = {
  ...national,
  tds: ['Xml'],
  declare: () => ({ name: 'xml' }),
  transcode: () => makeChunked(writeUtf16),
  variant: undefined,
  load: { as: asLongText },
  rangeKey: undefined,
};

function asLongText(): SqlTypeSpec {
  return { name: 'nvarchar', length: 'max' };
}

/** Text of a code page is converted by the column's own collation; that of the database may have another one. */
function collatedKey(type: string, collation: string | undefined): string {
  return `CONVERT(${type}, @clave${collation === undefined ? '' : ` COLLATE ${collation}`})`;
}

function inPage({ collation }: Column, layout: (write: PieceWriter) => ValueWriter): ValueWriter | undefined {
  const write = makeCodePageWriter(collation?.codepage);
  return write === undefined ? undefined : layout(write);
}

/** Of a collation that it does not know tedious reads the bytes as UTF-8; of a byte it does not know it makes U+FFFD. */
function codePageWriter(codepage: string | undefined, writeText: (text: string) => string): EventWriter {
  if (codepage === undefined) return () => undefined;
  if (codepage === 'utf-8') return (value) => writeText(value as string);
  return (value) => ((value as string).includes('\uFFFD') ? undefined : writeText(value as string));
}

function writePagedVariant(io: RowIo, start: number, end: number, properties: number): void {
  const { codepage, lcid, sortId } = Collation.fromBuffer(io.input, properties);
  const write = makeCodePageWriter(codepage);
  if (write === undefined) throw new Error(`TDS: a sql_variant in the unknown collation ${lcid}/${sortId}`);
  writeQuoted(io, start, end, write);
}

function writeNationalVariant(io: RowIo, start: number, end: number): void {
  writeQuoted(io, start, end, writeUtf16);
}
