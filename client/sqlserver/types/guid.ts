import { writeHex } from '../tds/bytes.ts';
import { bytes, type Encode, textOnly } from '../tds/codec.ts';
import { makeNullable } from '../tds/layouts.ts';
import type { RowIo } from '../tds/row-io.ts';
import { ASCII } from '../tds/row-scanner.ts';
import type { Out } from '../tds/row-writer.ts';
import { UnfitValue } from '../tds/unfit.ts';
import { noneOfThese, plainKey, quote, type SqlTypeDescriptor } from './descriptor.ts';

export const uniqueidentifier: SqlTypeDescriptor = {
  ...noneOfThese,
  family: 'guid',
  tds: ['UniqueIdentifier'],
  declare: () => ({ name: 'uniqueidentifier' }),
  transcode: () => makeNullable(16, writeGuid),
  writeEvent: () => (value) => quote(value as string),
  variant: { token: 0x24, bytes: 16, write: writeGuid },
  load: { codec: () => ({ id: 0x24, typeInfo: bytes(0x24, 16), write: loadGuid, encode: encodeGuid }) },
  rangeKey: plainKey,
  textLength: () => 36,
  roundsText: false,
};

const QUOTE = 0x22;
const DASH = 0x2d;
/** Where each byte of the text comes from: the first three fields are little-endian; -1 is a dash. */
const byteOrder = [3, 2, 1, 0, -1, 5, 4, -1, 7, 6, -1, 8, 9, -1, 10, 11, 12, 13, 14, 15];

/** In quotes, upper case. */
function writeGuid(io: RowIo, position: number): void {
  io.out[io.at++] = QUOTE;
  for (let i = 0; i < byteOrder.length; i++) {
    const from = byteOrder[i]!;
    if (from < 0) io.out[io.at++] = DASH;
    else writeHex(io, io.input[position + from]!);
  }
  io.out[io.at++] = QUOTE;
}

const shape = /^\{?([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{12})\}?$/i;

function loadGuid(out: Out, value: string | boolean): void {
  const match = shape.exec(textOnly(value).trim());
  if (match === null) throw new UnfitValue('no es un UNIQUEIDENTIFIER');
  out.writeUInt8(16);
  // The first three groups are little-endian numbers, the last two plain bytes.
  out.writeUInt32LE(Number.parseInt(match[1]!, 16));
  out.writeUInt16LE(Number.parseInt(match[2]!, 16));
  out.writeUInt16LE(Number.parseInt(match[3]!, 16));
  out.writeBuffer(Buffer.from(match[4]! + match[5]!, 'hex'));
}

/** The value of a hexadecimal digit's byte; 0xff for another's. */
const nibbles = new Uint8Array(256).fill(0xff);
for (let digit = 0; digit < 16; digit++) {
  const text = digit.toString(16);
  nibbles[text.charCodeAt(0)] = digit;
  nibbles[text.toUpperCase().charCodeAt(0)] = digit;
}
/** Where each byte stands in its text: the first three groups are little-endian numbers. */
const textPlaces = [6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34];

const encodeGuid: Encode = (out, kind, json, start, end) => {
  if (kind !== ASCII || end - start !== 36) return false;
  for (const dash of [8, 13, 18, 23]) if (json[start + dash] !== DASH) return false;
  let seen = 0;
  for (let index = 0; index < 16; index++) {
    const at = start + textPlaces[index]!;
    const high = nibbles[json[at]!]!;
    const low = nibbles[json[at + 1]!]!;
    seen |= high | low;
    out.buffer[out.pos + 1 + index] = (high << 4) | low;
  }
  if (seen > 0x0f) return false;
  out.writeUInt8(16);
  out.pos += 16;
  return true;
};
