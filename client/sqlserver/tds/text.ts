import type { PieceIo, PieceWriter } from './piece-writer.ts';

/** How much input a writer takes between two looks at the room in the output. */
const SLICE_BYTES = 8 * 1024;
/** The most that one byte of a code page or one half of a UTF-16 unit takes: `\u001f` is 6 bytes. */
const MAX_PER_BYTE = 6;
const MAX_PER_UTF16_BYTE = 3;

const PLAIN = 0;
const NOT_ASCII = 1;
const NUL = 2;
const HEX_ESCAPE = 0x75;

/** By byte: PLAIN, NOT_ASCII, NUL, or the letter of its escape in JSON (`u` for `\u00xx`). */
const kinds = new Uint8Array(256).fill(NOT_ASCII, 0x80).fill(HEX_ESCAPE, 0, 0x20);
kinds[0] = NUL;
for (const [char, letter] of ['\bb', '\tt', '\nn', '\ff', '\rr', '""', '\\\\']) {
  kinds[char!.charCodeAt(0)] = letter!.charCodeAt(0);
}

/** UTF-16LE. Throws Error where the value has half a unit. */
// biome-ignore lint/complexity/noExcessiveCognitiveComplexity: one loop over the bytes of every text of a table.
export function writeUtf16(io: PieceIo, start: number, end: number, last: boolean): number {
  const { input } = io;
  const wholeEnd = end - ((end - start) & 1);
  let position = start;
  while (position < wholeEnd) {
    const sliceEnd = Math.min(wholeEnd, position + SLICE_BYTES);
    io.reserve((sliceEnd - position) * MAX_PER_UTF16_BYTE);
    const { out } = io;
    let at = io.at;
    while (position < sliceEnd) {
      const low = input[position]!;
      const high = input[position + 1]!;
      if (high === 0 && kinds[low] === PLAIN) {
        out[at++] = low;
      } else if (high === 0 && low < 0x80) {
        at = writeEscape(io, at, low);
      } else if ((high & 0xf8) !== 0xd8) {
        at = writeUnit(out, at, (high << 8) | low);
      } else if (high < 0xdc && position + 4 > wholeEnd && !last) {
        // The other half may come with the next piece.
        io.at = at;
        return position;
      } else if (high < 0xdc && position + 4 <= wholeEnd && (input[position + 3]! & 0xfc) === 0xdc) {
        const next = (input[position + 3]! << 8) | input[position + 2]!;
        at = writePair(out, at, (high << 8) | low, next);
        position += 2;
      } else {
        at = writeReplacement(io, at);
      }
      position += 2;
    }
    io.at = at;
  }
  if (last && position !== end) throw new Error('TDS: UTF-16 text of an odd number of bytes');
  return position;
}

/** UTF-8, the encoding of collations named …_UTF8. What is ill-formed becomes U+FFFD by maximal subparts (Unicode 3.9). */
// biome-ignore lint/complexity/noExcessiveCognitiveComplexity: one loop over the bytes of every text of a table.
export function writeUtf8(io: PieceIo, start: number, end: number, last: boolean): number {
  const { input } = io;
  let position = start;
  while (position < end) {
    const sliceEnd = Math.min(end, position + SLICE_BYTES);
    io.reserve((sliceEnd - position) * MAX_PER_BYTE);
    const { out } = io;
    let at = io.at;
    while (position < sliceEnd) {
      const byte = input[position]!;
      if (kinds[byte] === PLAIN) {
        out[at++] = byte;
        position += 1;
        continue;
      }
      if (byte < 0x80) {
        at = writeEscape(io, at, byte);
        position += 1;
        continue;
      }
      const length = utf8Length(byte);
      let good = 1;
      while (good < length && position + good < end && isUtf8Next(byte, good, input[position + good]!)) good += 1;
      if (good < length && position + good === end && !last) {
        io.at = at;
        return position;
      }
      if (good === length) {
        for (let i = 0; i < length; i++) out[at++] = input[position + i]!;
      } else {
        at = writeReplacement(io, at);
      }
      position += good;
    }
    io.at = at;
  }
  return position;
}

/** Makes a code page of one byte a character; `units` has its 256 characters, U+FFFD where it has none. */
export function makeSingleByteWriter(units: Uint16Array): PieceWriter {
  return (io, start, end) => {
    const { input } = io;
    let position = start;
    while (position < end) {
      const sliceEnd = Math.min(end, position + SLICE_BYTES);
      io.reserve((sliceEnd - position) * MAX_PER_BYTE);
      const { out } = io;
      let at = io.at;
      while (position < sliceEnd) {
        const byte = input[position++]!;
        if (kinds[byte] === PLAIN) out[at++] = byte;
        else if (byte < 0x80) at = writeEscape(io, at, byte);
        else if (units[byte] === 0xfffd) at = writeReplacement(io, at);
        else at = writeUnit(out, at, units[byte]!);
      }
      io.at = at;
    }
    return end;
  };
}

/** Writes the ASCII bytes at the start of the input; answers the first that is not one, or `end`. */
export function writeAsciiStart(io: PieceIo, start: number, end: number): number {
  const { input } = io;
  let position = start;
  while (position < end) {
    const sliceEnd = Math.min(end, position + SLICE_BYTES);
    io.reserve((sliceEnd - position) * MAX_PER_BYTE);
    let at = io.at;
    while (position < sliceEnd) {
      const byte = input[position]!;
      if (kinds[byte] === PLAIN) io.out[at++] = byte;
      else if (byte < 0x80) at = writeEscape(io, at, byte);
      else {
        io.at = at;
        return position;
      }
      position += 1;
    }
    io.at = at;
  }
  return end;
}

/**
 * Writes text that is a string already, from a code page that has no U+FFFD: one in it says that a byte had no
 * character.
 */
export function writeDecoded(io: PieceIo, text: string): void {
  for (let start = 0; start < text.length; start += SLICE_BYTES) {
    const end = Math.min(text.length, start + SLICE_BYTES);
    io.reserve((end - start) * MAX_PER_BYTE);
    let at = io.at;
    for (let i = start; i < end; i++) {
      const unit = text.charCodeAt(i);
      if (unit < 0x80) {
        if (kinds[unit] === PLAIN) io.out[at++] = unit;
        else at = writeEscape(io, at, unit);
      } else if (unit === 0xfffd || (unit & 0xf800) === 0xd800) {
        // The code pages of SQL Server lie in the basic plane: a surrogate is as wrong as U+FFFD.
        at = writeReplacement(io, at);
      } else {
        at = writeUnit(io.out, at, unit);
      }
    }
    io.at = at;
  }
}

const hexDigits = Buffer.from('0123456789abcdef');

function writeEscape(io: PieceIo, position: number, byte: number): number {
  const kind = kinds[byte]!;
  if (kind === NUL) return writeReplacement(io, position);
  const { out } = io;
  let at = position;
  out[at++] = 0x5c;
  out[at++] = kind;
  if (kind === HEX_ESCAPE) {
    out[at++] = 0x30;
    out[at++] = 0x30;
    out[at++] = hexDigits[byte >> 4]!;
    out[at++] = hexDigits[byte & 15]!;
  }
  return at;
}

function writeReplacement(io: PieceIo, at: number): number {
  io.replaced += 1;
  return writeUnit(io.out, at, 0xfffd);
}

/** A character of the basic plane, from U+0080 on. */
function writeUnit(out: Uint8Array, position: number, unit: number): number {
  let at = position;
  if (unit < 0x800) {
    out[at++] = 0xc0 | (unit >> 6);
  } else {
    out[at++] = 0xe0 | (unit >> 12);
    out[at++] = 0x80 | ((unit >> 6) & 0x3f);
  }
  out[at++] = 0x80 | (unit & 0x3f);
  return at;
}

function writePair(out: Uint8Array, at: number, high: number, low: number): number {
  const point = 0x10000 + ((high & 0x3ff) << 10) + (low & 0x3ff);
  out[at] = 0xf0 | (point >> 18);
  out[at + 1] = 0x80 | ((point >> 12) & 0x3f);
  out[at + 2] = 0x80 | ((point >> 6) & 0x3f);
  out[at + 3] = 0x80 | (point & 0x3f);
  return at + 4;
}

/** Bytes of the sequence that `lead` begins; 0 where it begins none. */
function utf8Length(lead: number): number {
  if (lead >= 0xc2 && lead < 0xe0) return 2;
  if (lead >= 0xe0 && lead < 0xf0) return 3;
  if (lead >= 0xf0 && lead < 0xf5) return 4;
  return 0;
}

/** Returns whether `byte` may follow as number `index` of the sequence of `lead` (Unicode, table 3-7). */
function isUtf8Next(lead: number, index: number, byte: number): boolean {
  if (index === 1) {
    if (lead === 0xe0) return byte >= 0xa0 && byte < 0xc0;
    if (lead === 0xed) return byte >= 0x80 && byte < 0xa0;
    if (lead === 0xf0) return byte >= 0x90 && byte < 0xc0;
    if (lead === 0xf4) return byte >= 0x80 && byte < 0x90;
  }
  return (byte & 0xc0) === 0x80;
}
