import iconv from 'iconv-lite';
import type { SqlTypeSpec } from '../../../protocol/rows/sql-types.ts';
import type { BulkColumn } from '../tables/ddl.ts';
import { isMultiByte } from '../tds/code-pages.ts';
import type { Codec } from '../tds/codec.ts';
import type { Out } from '../tds/row-writer.ts';
import { LossyValue, UnfitValue } from '../tds/unfit.ts';
import { codecOf, describeType, familyOf, isLossyConversion, lostAsText } from '../types/sql-types.ts';

/**
 * Returns how the values of a column are written; `also` and code pages of several bytes refuse more than the type
 * itself does.
 */
export function columnCodec({ type, codePage, also }: Pick<BulkColumn, 'type' | 'codePage' | 'also'>): Codec {
  const codec = codecOf(type, codePage);
  const checks = [
    formCheck(type),
    byteCheck(also ?? type, codePage),
    also === undefined || also === type ? undefined : typeCheck(type, also, codePage),
  ].filter((check) => check !== undefined);
  if (checks.length === 0) return codec;
  // Without the short way, which goes past `write`.
  const { encode: _, ...rest } = codec;
  return {
    ...rest,
    write(out, value) {
      for (const check of checks) check(value);
      codec.write(out, value);
    },
  };
}

type Check = (value: string | boolean) => void;

/** Of what travels as another type's text. */
function formCheck(type: SqlTypeSpec): Check | undefined {
  const { broken } = describeType(type);
  if (broken === undefined) return undefined;
  return (value) => {
    const rule = broken(String(value), type);
    if (rule !== undefined) throw new UnfitValue(rule);
  };
}

/** Of char and varchar `length` counts bytes: as many as characters, but for the pages with characters of several. */
function byteCheck(type: SqlTypeSpec, codePage: string | undefined): Check | undefined {
  const { length } = type;
  if (!describeType(type).hasCodePage || typeof length !== 'number' || codePage === undefined) return undefined;
  if (!isMultiByte(codePage)) return undefined;
  return (value) => {
    const text = String(value);
    if (text.length * 4 <= length) return;
    const bytes = iconv.encode(text, codePage).length;
    if (bytes > length)
      throw new UnfitValue(`ocupa ${bytes} bytes en la página de códigos ${codePage} y caben ${length}`);
  };
}

/**
 * What a value becomes once more. Of text that is no number, or no date, the customer's SQL makes one, or SQL Server refuses it; what it
 * would round is refused here. SQL Server adds a date to a time of day.
 */
function typeCheck(type: SqlTypeSpec, also: SqlTypeSpec, codePage: string | undefined): Check {
  if (isLossyConversion(type, also) && familyOf(also) === 'text') {
    return (value) => {
      const lost = lostAsText(type, also, String(value));
      if (lost !== undefined) throw new LossyValue(lost);
    };
  }
  const { write } = codecOf(also, codePage);
  if (familyOf(type) === 'text' && familyOf(also) !== 'text') {
    return (value) => {
      try {
        write(nowhere, value);
      } catch (error) {
        if (error instanceof LossyValue || !(error instanceof UnfitValue)) throw error;
      }
    };
  }
  const dated = type.name === 'time' && also.name !== 'time';
  return (value) => write(nowhere, dated ? `1900-01-01T${value}` : value);
}

const ignore = () => {};
const nowhere: Out = {
  writeUInt8: ignore,
  writeUInt16LE: ignore,
  writeUInt24LE: ignore,
  writeUInt32LE: ignore,
  writeInt16LE: ignore,
  writeInt32LE: ignore,
  writeBigInt64LE: ignore,
  writeFloatLE: ignore,
  writeDoubleLE: ignore,
  writeBuffer: ignore,
  writeString: ignore,
};
