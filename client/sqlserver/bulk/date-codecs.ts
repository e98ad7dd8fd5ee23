import { DAYS_TO_1900 } from '../../../protocol/values.ts';
import { bytes, type Codec, type Out, textOnly } from './codec.ts';
import { UnfitValue } from './exact.ts';
import { readInstant, toScale, toThreeHundredths, toUtc, withoutOffset } from './instants.ts';

/** Dates and times in a bulk load ([MS-TDS] 2.2.5.5.1.8 and after): nothing is rounded, nothing passes a Date. */

export function writeDate(out: Out, value: string | boolean): void {
  const { days, units } = withoutOffset(readInstant(textOnly(value)));
  if (units !== 0) throw new UnfitValue('lleva una hora y la columna solo guarda la fecha');
  out.writeUInt8(3);
  out.writeUInt24LE(days);
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
  return {
    id: 0x29,
    typeInfo: bytes(0x29, scale),
    write(out, value) {
      const instant = readInstant(textOnly(value));
      if (instant.days !== undefined || instant.offset !== undefined) {
        throw new UnfitValue('la columna solo guarda la hora, sin fecha ni desfase');
      }
      const units = toScale(instant.units ?? 0, scale);
      out.writeUInt8(timeSize(scale));
      writeUnits(out, units, scale);
    },
  };
}

export function dateTime2(scale: number): Codec {
  return {
    id: 0x2a,
    typeInfo: bytes(0x2a, scale),
    write(out, value) {
      const { days, units } = withoutOffset(readInstant(textOnly(value)));
      const scaled = toScale(units, scale);
      out.writeUInt8(timeSize(scale) + 3);
      writeUnits(out, scaled, scale);
      out.writeUInt24LE(days);
    },
  };
}

export function dateTimeOffset(scale: number): Codec {
  return {
    id: 0x2b,
    typeInfo: bytes(0x2b, scale),
    write(out, value) {
      const { days, units, offset } = toUtc(readInstant(textOnly(value)));
      const scaled = toScale(units, scale);
      out.writeUInt8(timeSize(scale) + 5);
      writeUnits(out, scaled, scale);
      out.writeUInt24LE(days);
      out.writeInt16LE(offset);
    },
  };
}

const DAYS_TO_1753 = 639_905;

export function writeDateTime(out: Out, value: string | boolean): void {
  const { days, units } = withoutOffset(readInstant(textOnly(value)));
  if (days < DAYS_TO_1753) throw new UnfitValue('DATETIME empieza en 1753-01-01: use DATETIME2');
  const ticks = toThreeHundredths(units);
  out.writeUInt8(8);
  out.writeInt32LE(days - DAYS_TO_1900);
  out.writeUInt32LE(ticks);
}

export function writeSmallDateTime(out: Out, value: string | boolean): void {
  const { days, units } = withoutOffset(readInstant(textOnly(value)));
  if (units % 600_000_000 !== 0) throw new UnfitValue('SMALLDATETIME no guarda segundos y no se redondea');
  if (days < DAYS_TO_1900 || days - DAYS_TO_1900 > 65_535) {
    throw new UnfitValue('SMALLDATETIME va de 1900-01-01 a 2079-06-06');
  }
  out.writeUInt8(4);
  out.writeUInt16LE(days - DAYS_TO_1900);
  out.writeUInt16LE(units / 600_000_000);
}
