/** Input and output of the writers, which all write JSON: what they see of a RowIo. */
export interface PieceIo {
  input: Buffer;
  out: Uint8Array;
  /** Output goes here. */
  at: number;
  /** Characters that became U+FFFD since the block began. */
  replaced: number;
  /** Makes room for `bytes` at `at`. A writer reads `out` and `at` only after it. */
  reserve(bytes: number): void;
}

/**
 * Writes the inside of a JSON string from part of a value. Answers where it stopped: `end`, or up to 3 bytes before it
 * where a character is cut and the value goes on (`last` false).
 */
export type PieceWriter = (io: PieceIo, start: number, end: number, last: boolean) => number;

const QUOTE = 0x22;

/** Writes the inside of a string from a whole value, in quotes. */
export function writeQuoted(io: PieceIo, start: number, end: number, write: PieceWriter): void {
  io.out[io.at++] = QUOTE;
  write(io, start, end, true);
  io.reserve(1);
  io.out[io.at++] = QUOTE;
}

/** Writes `null` */
export function writeNull(io: PieceIo): void {
  const { out, at } = io;
  out[at] = 0x6e;
  out[at + 1] = 0x75;
  out[at + 2] = 0x6c;
  out[at + 3] = 0x6c;
  io.at = at + 4;
}
