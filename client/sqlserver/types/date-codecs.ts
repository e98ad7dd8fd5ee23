import { DAYS_TO_1900 } from '../../../protocol/rows/calendar.ts';
import { bytes, type Codec, type Encode, textOnly } from '../tds/codec.ts';
import { ASCII } from '../tds/row-scanner.ts';
import type { Out } from '../tds/row-writer.ts';
import { LossyValue, UnfitValue } from '../tds/unfit.ts';
import { timeBytes } from './date-writers.ts';
import {
  type Instant,
  offsetLength,
  readDays,
  readInstant,
  readOffset,
  readUnits,
  readUnitsAfterDate,
  toScale,
  toThreeHundredths,
  toUtc,
  withoutOffset,
} from './instants.ts';

/** Dates and times in a bulk load ([MS-TDS] 2.2.5.5.1.8 and after): nothing is rounded, nothing passes a Date. */

/** `2024-01-15` */
const DATE_LENGTH = 10;

/** Of a type with a date and no offset: text without one. */
function encodeDateTime(write: (out: Out, days: number, units: number) => void): Encode {
  return (out, kind, json, start, end) => {
    if (kind !== ASCII || end - start < DATE_LENGTH) return false;
    const days = readDays(json, start);
    const units = readUnitsAfterDate(json, start, end);
    if (Number.isNaN(days + units)) return false;
    write(out, days, units);
    return true;
  };
}

function encodeTime(write: (out: Out, units: number) => void): Encode {
  return (out, kind, json, start, end) => {
    if (kind !== ASCII) return false;
    const units = readUnits(json, start, end);
    if (Number.isNaN(units)) return false;
    write(out, units);
    return true;
  };
}

/** Text that ends with an offset. */
function encodeDateTimeOffset(write: (out: Out, instant: Required<Instant>) => void): Encode {
  return (out, kind, json, start, end) => {
    if (kind !== ASCII || end - start < DATE_LENGTH + 7) return false;
    const offset = readOffset(json, end);
    const days = readDays(json, start);
    const units = readUnitsAfterDate(json, start, end - offsetLength(json, end));
    if (Number.isNaN(days + units + offset)) return false;
    write(out, { days, units, offset });
    return true;
  };
}

/** The codec of a type that has a date and no offset. */
function datedCodec(
  id: number,
  typeInfo: (out: Out) => void,
  put: (out: Out, days: number, units: number) => void,
): Codec {
  return {
    id,
    typeInfo,
    encode: encodeDateTime(put),
    write(out, value) {
      const { days, units } = withoutOffset(readInstant(textOnly(value)));
      put(out, days, units);
    },
  };
}

export function dateCodec(): Codec {
  return datedCodec(0x28, bytes(0x28), (out, days, units) => {
    if (units !== 0) throw new LossyValue('lleva una hora y la columna solo guarda la fecha');
    out.writeUInt8(3);
    out.writeUInt24LE(days);
  });
}

function writeUnits(out: Out, units: number, scale: number): void {
  const size = timeBytes(scale);
  if (size === 3) {
    out.writeUInt24LE(units);
    return;
  }
  out.writeUInt32LE(units % 0x1_0000_0000);
  if (size === 5) out.writeUInt8(Math.floor(units / 0x1_0000_0000));
}

export function timeCodec(scale: number): Codec {
  const put = (out: Out, units: number) => {
    const scaled = toScale(units, scale);
    out.writeUInt8(timeBytes(scale));
    writeUnits(out, scaled, scale);
  };
  return {
    id: 0x29,
    typeInfo: bytes(0x29, scale),
    encode: encodeTime(put),
    write(out, value) {
      const instant = readInstant(textOnly(value));
      if (instant.days !== undefined || instant.offset !== undefined) {
        throw new UnfitValue('la columna solo guarda la hora, sin fecha ni desfase');
      }
      put(out, instant.units ?? 0);
    },
  };
}

export function dateTime2Codec(scale: number): Codec {
  return datedCodec(0x2a, bytes(0x2a, scale), (out, days, units) => {
    const scaled = toScale(units, scale);
    out.writeUInt8(timeBytes(scale) + 3);
    writeUnits(out, scaled, scale);
    out.writeUInt24LE(days);
  });
}

export function dateTimeOffsetCodec(scale: number): Codec {
  const put = (out: Out, instant: Instant) => {
    const { days, units, offset } = toUtc(instant);
    const scaled = toScale(units, scale);
    out.writeUInt8(timeBytes(scale) + 5);
    writeUnits(out, scaled, scale);
    out.writeUInt24LE(days);
    out.writeInt16LE(offset);
  };
  return {
    id: 0x2b,
    typeInfo: bytes(0x2b, scale),
    encode: encodeDateTimeOffset(put),
    write(out, value) {
      put(out, readInstant(textOnly(value)));
    },
  };
}

const DAYS_TO_1753 = 639_905;

export function dateTimeCodec(): Codec {
  return datedCodec(0x6f, bytes(0x6f, 8), (out, days, units) => {
    if (days < DAYS_TO_1753) throw new UnfitValue('DATETIME empieza en 1753-01-01: use DATETIME2');
    const ticks = toThreeHundredths(units);
    out.writeUInt8(8);
    out.writeInt32LE(days - DAYS_TO_1900);
    out.writeUInt32LE(ticks);
  });
}

export function smallDateTimeCodec(): Codec {
  return datedCodec(0x6f, bytes(0x6f, 4), (out, days, units) => {
    if (units % 600_000_000 !== 0) throw new LossyValue('SMALLDATETIME no guarda segundos y no se redondea');
    if (days < DAYS_TO_1900 || days - DAYS_TO_1900 > 65_535) {
      throw new UnfitValue('SMALLDATETIME va de 1900-01-01 a 2079-06-06');
    }
    out.writeUInt8(4);
    out.writeUInt16LE(days - DAYS_TO_1900);
    out.writeUInt16LE(units / 600_000_000);
  });
}
