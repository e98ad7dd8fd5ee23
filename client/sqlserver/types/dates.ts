import { formatDate, formatDateTime2, formatTime } from '../../../protocol/rows/values.ts';
import { makeFixed, makeNullable, makeSized } from '../tds/layouts.ts';
import {
  dateCodec,
  dateTime2Codec,
  dateTimeCodec,
  dateTimeOffsetCodec,
  smallDateTimeCodec,
  timeCodec,
} from './date-codecs.ts';
import {
  writeDate,
  writeDateTime,
  writeDateTime2,
  writeDateTimeOffset,
  writeSmallDateTime,
  writeTime,
} from './date-writers.ts';
import { type Column, type KeySql, noneOfThese, plainKey, quote, type SqlTypeDescriptor } from './descriptor.ts';

const shared = { ...noneOfThese, family: 'moment', textStyle: 126, roundsText: true } as const;

/** The scale that SQL Server takes where none is said. */
const FULL_SCALE = 7;

/** ISO text with a T; style 126 knows neither time nor datetimeoffset, whose text reads the same in every language without it. */
const isoKey: KeySql = (type) => `CONVERT(${type}, @clave, 126)`;

/** Of the types that have no fraction of a second, or the old one. */
const old = {
  ...shared,
  rangeKey: isoKey,
  lostAsText: (text: string) =>
    /:\d\d:(?:0[1-9]|[1-9]\d|\d\d\.\d*[1-9])/.test(text)
      ? 'SQL Server la escribiría en texto sin los segundos'
      : undefined,
} as const;

export const date: SqlTypeDescriptor = {
  ...shared,
  tds: ['Date'],
  declare: () => ({ name: 'date' }),
  transcode: () => makeNullable(3, writeDate),
  writeEvent: () => (value) => quote(formatDate((value as Date).getTime() / MS_PER_DAY + DAYS_TO_1970)),
  variant: { token: 0x28, bytes: 3, write: writeDate },
  load: { codec: dateCodec },
  rangeKey: isoKey,
  textLength: () => 10,
};

export const time: SqlTypeDescriptor = {
  ...shared,
  tds: ['Time'],
  declare: ({ scale }) => ({ name: 'time', scale: scale ?? FULL_SCALE }),
  transcode: ({ scale }) => makeSized(scale ?? FULL_SCALE, writeTime),
  writeEvent({ scale = 0 }) {
    return (value) => quote(formatTime(unitsOf(value as Date, scale), scale));
  },
  variant: {
    token: 0x29,
    write: (io, start, end, properties) => writeTime(io, start, end - start, io.input[properties]!),
  },
  load: { codec: ({ scale }) => timeCodec(scale ?? FULL_SCALE) },
  rangeKey: plainKey,
  textLength: () => 16,
};

export const smalldatetime: SqlTypeDescriptor = {
  ...old,
  tds: ['SmallDateTime', 'DateTimeN:4'],
  declare: () => ({ name: 'smalldatetime' }),
  transcode: ({ type }) =>
    type.name === 'SmallDateTime' ? makeFixed(4, writeSmallDateTime) : makeNullable(4, writeSmallDateTime),
  writeEvent: () => (value) => quote(instantOf(value as Date, 0)),
  variant: { token: 0x3a, bytes: 4, write: writeSmallDateTime },
  load: { codec: smallDateTimeCodec },
};

export const datetime: SqlTypeDescriptor = {
  ...old,
  tds: ['DateTime', 'DateTimeN:8'],
  declare: () => ({ name: 'datetime' }),
  transcode: ({ type }) => (type.name === 'DateTime' ? makeFixed(8, writeDateTime) : makeNullable(8, writeDateTime)),
  writeEvent: () => (value) => quote(instantOf(value as Date, 3)),
  variant: { token: 0x3d, bytes: 8, write: writeDateTime },
  load: { codec: dateTimeCodec },
};

export const datetime2: SqlTypeDescriptor = {
  ...shared,
  tds: ['DateTime2'],
  declare: ({ scale }) => ({ name: 'datetime2', scale: scale ?? FULL_SCALE }),
  transcode: ({ scale }) => makeSized(scale ?? FULL_SCALE, writeDateTime2),
  writeEvent({ scale = 0 }: Column) {
    return (value) => quote(instantOf(value as Date, scale));
  },
  variant: {
    token: 0x2a,
    write: (io, start, end, properties) => writeDateTime2(io, start, end - start, io.input[properties]!),
  },
  load: { codec: ({ scale }) => dateTime2Codec(scale ?? FULL_SCALE) },
  rangeKey: isoKey,
  textLength: () => 27,
};

export const datetimeoffset: SqlTypeDescriptor = {
  ...shared,
  tds: ['DateTimeOffset'],
  declare: ({ scale }) => ({ name: 'datetimeoffset', scale: scale ?? FULL_SCALE }),
  transcode: ({ scale }) => makeSized(scale ?? FULL_SCALE, writeDateTimeOffset),
  // It comes without its offset.
  writeEvent: () => () => undefined,
  variant: {
    token: 0x2b,
    write: (io, start, end, properties) => writeDateTimeOffset(io, start, end - start, io.input[properties]!),
  },
  load: { codec: ({ scale }) => dateTimeOffsetCodec(scale ?? FULL_SCALE) },
  rangeKey: plainKey,
  textLength: () => 34,
};

const DAYS_TO_1970 = 719_162;
const MS_PER_DAY = 86_400_000;

/** tedious keeps what is below a millisecond beside the Date, in seconds. */
function unitsOf(value: Date, scale: number): number {
  const below = (value as Date & { nanosecondsDelta?: number }).nanosecondsDelta ?? 0;
  const ms = value.getTime() - Math.floor(value.getTime() / MS_PER_DAY) * MS_PER_DAY;
  return Math.round((ms * 10_000 + below * 1e7) / 10 ** (7 - scale));
}

function instantOf(value: Date, scale: number): string {
  return formatDateTime2(Math.floor(value.getTime() / MS_PER_DAY) + DAYS_TO_1970, unitsOf(value, scale), scale);
}
