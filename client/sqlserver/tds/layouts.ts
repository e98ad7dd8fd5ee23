import { uint32 } from './numbers.ts';
import { type PieceWriter, writeNull, writeQuoted } from './piece-writer.ts';
import { IS_LONG, NEEDS_MORE, type RowIo, type ValueWriter } from './row-io.ts';

/** How a value's length is stated before it, and how NULL is: each layout around what writes the value itself. */

export const MAX_LENGTH = 0xffff;
const NULL_LENGTH = 0xffff;

/** Behind a byte with the length. */
export const BYTE_LENGTH = -1;
/** Behind 2 bytes with the length. */
export const SHORT_LENGTH = -2;
const extents = new WeakMap<ValueWriter, number>();

/** Returns how many bytes a writer's values have, BYTE_LENGTH or SHORT_LENGTH; undefined: they may come in pieces. */
export function extentOf(writer: ValueWriter): number | undefined {
  return extents.get(writer);
}

function ofExtent(extent: number, writer: ValueWriter): ValueWriter {
  extents.set(writer, extent);
  return writer;
}

/** Makes a type of `bytes` bytes that is never NULL. */
export function makeFixed(bytes: number, write: (io: RowIo, position: number) => void): ValueWriter {
  return ofExtent(bytes, (io, position) => {
    if (io.end - position < bytes) return NEEDS_MORE;
    write(io, position);
    return position + bytes;
  });
}

/** Makes a type of `bytes` bytes behind a byte with their number, 0 for NULL. */
export function makeNullable(bytes: number, write: (io: RowIo, position: number) => void): ValueWriter {
  return ofExtent(BYTE_LENGTH, (io, position) => {
    if (position >= io.end) return NEEDS_MORE;
    const length = io.input[position]!;
    if (length === 0) {
      writeNull(io);
      return position + 1;
    }
    if (length !== bytes) throw new Error(`TDS: a value of ${length} bytes where its type has ${bytes}`);
    if (io.end - position <= bytes) return NEEDS_MORE;
    write(io, position + 1);
    return position + 1 + bytes;
  });
}

/** Makes a type with a scale whose values are of several lengths, behind a byte with the length, 0 for NULL. */
export function makeSized(
  scale: number,
  write: (io: RowIo, position: number, bytes: number, scale: number) => void,
): ValueWriter {
  return ofExtent(BYTE_LENGTH, (io, position) => {
    if (position >= io.end) return NEEDS_MORE;
    const length = io.input[position]!;
    if (length === 0) {
      writeNull(io);
      return position + 1;
    }
    if (io.end - position <= length) return NEEDS_MORE;
    write(io, position + 1, length, scale);
    return position + 1 + length;
  });
}

/** Makes a type of up to 8,000 bytes behind 2 bytes with their number. */
export function makeShort(write: PieceWriter): ValueWriter {
  return ofExtent(SHORT_LENGTH, (io, position) => {
    if (io.end - position < 2) return NEEDS_MORE;
    const length = io.input[position]! | (io.input[position + 1]! << 8);
    const start = position + 2;
    if (length === NULL_LENGTH) {
      writeNull(io);
      return start;
    }
    if (io.end - start < length) return NEEDS_MORE;
    writeQuoted(io, start, start + length, write);
    return start + length;
  });
}

/** Makes (max) types, xml and CLR types: partially length-prefixed ([MS-TDS] 2.2.5.2.3). */
export function makeChunked(write: PieceWriter): ValueWriter {
  return (io, position) => {
    if (io.end - position < 8) return NEEDS_MORE;
    const low = uint32(io.input, position);
    const high = uint32(io.input, position + 4);
    const start = position + 12;
    if (high === 0xffff_ffff && low === 0xffff_ffff) {
      writeNull(io);
      return position + 8;
    }
    // Most values are one chunk and all there.
    if (high === 0 && io.end - start >= low + 4 && low > 0) {
      const end = start + low;
      if (uint32(io.input, position + 8) === low && uint32(io.input, end) === 0) {
        writeQuoted(io, start, end, write);
        return end + 4;
      }
    }
    const unknown = high === 0xffff_ffff && low === 0xffff_fffe;
    io.long.beginChunks(io, write, unknown ? -1 : high * 0x1_0000_0000 + low);
    io.longStart = position + 8;
    return IS_LONG;
  };
}

/**
 * Makes text, ntext and image: a text pointer of so many bytes (0 for NULL), 8 bytes of timestamp, 4 with the length.
 */
export function makePointed(write: PieceWriter): ValueWriter {
  return (io, position) => {
    if (position >= io.end) return NEEDS_MORE;
    const pointer = io.input[position]!;
    if (pointer === 0) {
      writeNull(io);
      return position + 1;
    }
    const start = position + 1 + pointer + 8 + 4;
    if (start > io.end) return NEEDS_MORE;
    const length = uint32(io.input, start - 4);
    if (io.end - start >= length) {
      writeQuoted(io, start, start + length, write);
      return start + length;
    }
    io.long.beginRun(io, write, length);
    io.longStart = start;
    return IS_LONG;
  };
}
