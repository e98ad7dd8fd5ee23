import { DAYS_TO_1900 } from '../../../protocol/rows/values.ts';
import { bytes, type Codec, type Out, textOnly } from '../tds/codec.ts';
import { encodeDateTime, encodeDateTimeOffset, encodeTime } from './byte-codecs.ts';
import { LossyValue, UnfitValue } from './exact-numbers.ts';
import { type Instant, readInstant, toScale, toThreeHundredths, toUtc, withoutOffset } from './instants.ts';

/** Dates and times in a bulk load ([MS-TDS] 2.2.5.5.1.8 and after): nothing is rounded, nothing passes a Date. */

/** The codec of a type that has a date and no offset. */
function dateCodec(
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

export function date(): Codec {
  return dateCodec(0x28, bytes(0x28), (out, days, units) => {
    if (units !== 0) throw new LossyValue('lleva una hora y la columna solo guarda la fecha');
    out.writeUInt8(3);
    out.writeUInt24LE(days);
  });
}

function timeSize(scale: number): number {
  return scale <= 2 ? 3 : scale <= 4 ? 4 : 5;
}

function writeUnits(out: Out, units: number, scale: number): void {
  const size = timeSize(scale);
  if (size === 3) {
    out.writeUInt24LE(units);
    return;
  }
  out.writeUInt32LE(units % 0x1_0000_0000);
  if (size === 5) out.writeUInt8(Math.floor(units / 0x1_0000_0000));
}

export function time(scale: number): Codec {
  const put = (out: Out, units: number) => {
    const scaled = toScale(units, scale);
    out.writeUInt8(timeSize(scale));
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

export function dateTime2(scale: number): Codec {
  return dateCodec(0x2a, bytes(0x2a, scale), (out, days, units) => {
    const scaled = toScale(units, scale);
    out.writeUInt8(timeSize(scale) + 3);
    writeUnits(out, scaled, scale);
    out.writeUInt24LE(days);
  });
}

export function dateTimeOffset(scale: number): Codec {
  const put = (out: Out, instant: Instant) => {
    const { days, units, offset } = toUtc(instant);
    const scaled = toScale(units, scale);
    out.writeUInt8(timeSize(scale) + 5);
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

export function dateTime(): Codec {
  return dateCodec(0x6f, bytes(0x6f, 8), (out, days, units) => {
    if (days < DAYS_TO_1753) throw new UnfitValue('DATETIME empieza en 1753-01-01: use DATETIME2');
    const ticks = toThreeHundredths(units);
    out.writeUInt8(8);
    out.writeInt32LE(days - DAYS_TO_1900);
    out.writeUInt32LE(ticks);
  });
}

export function smallDateTime(): Codec {
  return dateCodec(0x6f, bytes(0x6f, 4), (out, days, units) => {
    if (units % 600_000_000 !== 0) throw new LossyValue('SMALLDATETIME no guarda segundos y no se redondea');
    if (days < DAYS_TO_1900 || days - DAYS_TO_1900 > 65_535) {
      throw new UnfitValue('SMALLDATETIME va de 1900-01-01 a 2079-06-06');
    }
    out.writeUInt8(4);
    out.writeUInt16LE(days - DAYS_TO_1900);
    out.writeUInt16LE(units / 600_000_000);
  });
}
