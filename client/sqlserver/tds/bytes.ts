import type { PieceIo } from './piece-writer.ts';

const base64Digits = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');
const hexDigits = Buffer.from('0123456789ABCDEF');
const PAD = 0x3d;
/** A multiple of 3. */
const SLICE_BYTES = 12 * 1024;

/** Writes base64 with padding; a piece writer. */
export function writeBase64(io: PieceIo, start: number, end: number, last: boolean): number {
  const { input } = io;
  let position = start;
  while (end - position >= 3) {
    const sliceEnd = Math.min(end, position + SLICE_BYTES);
    io.reserve((sliceEnd - position) * 2);
    const { out } = io;
    let at = io.at;
    while (sliceEnd - position >= 3) {
      const group = (input[position]! << 16) | (input[position + 1]! << 8) | input[position + 2]!;
      out[at] = base64Digits[group >> 18]!;
      out[at + 1] = base64Digits[(group >> 12) & 63]!;
      out[at + 2] = base64Digits[(group >> 6) & 63]!;
      out[at + 3] = base64Digits[group & 63]!;
      at += 4;
      position += 3;
    }
    io.at = at;
  }
  if (!last || position === end) return position;
  io.reserve(4);
  const two = end - position === 2;
  const group = (input[position]! << 16) | (two ? input[position + 1]! << 8 : 0);
  io.out[io.at++] = base64Digits[group >> 18]!;
  io.out[io.at++] = base64Digits[(group >> 12) & 63]!;
  io.out[io.at++] = two ? base64Digits[(group >> 6) & 63]! : PAD;
  io.out[io.at++] = PAD;
  return end;
}

/** Writes a byte as two digits, upper case. */
export function writeHex(io: PieceIo, byte: number): void {
  io.out[io.at++] = hexDigits[byte >> 4]!;
  io.out[io.at++] = hexDigits[byte & 15]!;
}
