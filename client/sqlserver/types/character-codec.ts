import { makeUnfitFinder, makeUnitTest } from '../tds/code-pages.ts';
import { type Codec, type Encode, lengthPrefix } from '../tds/codec.ts';
import { MAX_LENGTH } from '../tds/layouts.ts';
import { ASCII, NUMBER, TEXT } from '../tds/row-scanner.ts';
import { UnfitValue } from '../tds/unfit.ts';

const noCollation = Buffer.alloc(5);

/** Returns the codec of nchar and nvarchar; characters that `codePage`, as tedious names it, lacks are refused. */
export function characterCodec(id: number, length: number | 'max', codePage: string | undefined): Codec {
  const findUnfit = makeUnfitFinder(codePage);
  const { nil, open, close } = lengthPrefix(length === 'max');
  return {
    id,
    typeInfo(out, collation) {
      out.writeUInt8(id);
      out.writeUInt16LE(length === 'max' ? MAX_LENGTH : length * 2);
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

/** Characters of nchar and nvarchar. `fits` says whether a code page has a UTF-16 unit beyond ASCII. */
function encodeText(length: number | 'max', fits: ((unit: number) => boolean) | undefined): Encode {
  const max = length === 'max';
  const limit = max ? Number.POSITIVE_INFINITY : length;
  // biome-ignore lint/complexity/noExcessiveCognitiveComplexity: one loop over the bytes of every text of a table.
  return (out, kind, json, start, end) => {
    if (kind !== ASCII && kind !== TEXT && kind !== NUMBER) return false;
    const before = out.pos;
    const from = before + (max ? 12 : 2);
    const { buffer } = out;
    let to = from;
    for (let at = start; at < end; ) {
      const byte = json[at++]!;
      let unit = byte;
      if (byte >= 0x80) {
        // The bytes are known to be UTF-8.
        if (byte < 0xe0) unit = ((byte & 0x1f) << 6) | (json[at++]! & 0x3f);
        else if (byte < 0xf0) {
          unit = ((byte & 0x0f) << 12) | ((json[at]! & 0x3f) << 6) | (json[at + 1]! & 0x3f);
          at += 2;
        } else {
          const point =
            (((byte & 0x07) << 18) |
              ((json[at]! & 0x3f) << 12) |
              ((json[at + 1]! & 0x3f) << 6) |
              (json[at + 2]! & 0x3f)) -
            0x1_0000;
          at += 3;
          const high = 0xd800 | (point >> 10);
          buffer[to] = high;
          buffer[to + 1] = high >> 8;
          to += 2;
          unit = 0xdc00 | (point & 0x3ff);
        }
        if (fits !== undefined && !fits(unit)) return false;
      }
      buffer[to] = unit;
      buffer[to + 1] = unit >> 8;
      to += 2;
    }
    const byteLength = to - from;
    if (byteLength > 2 * limit) return false;
    if (!max) {
      out.writeUInt16LE(byteLength);
      out.pos = to;
      return true;
    }
    out.writeUInt32LE(0xffff_fffe);
    out.writeUInt32LE(0xffff_ffff);
    if (byteLength > 0) {
      out.writeUInt32LE(byteLength);
      out.pos = to;
    }
    out.writeUInt32LE(0);
    return true;
  };
}
