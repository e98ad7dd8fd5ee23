import type { RowIo } from '../tds/row-io.ts';

const base64Digits = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');
const hexDigits = Buffer.from('0123456789ABCDEF');
const PAD = 0x3d;
/** A multiple of 3. */
const SLICE_BYTES = 12 * 1024;

/** Base64 with padding; a piece writer (row-io.ts). */
export function writeBase64(io: RowIo, start: number, end: number, last: boolean): number {
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

/** rowversion: `0x00000000000007D1`; a piece writer for whole values. */
export function writeRowversion(io: RowIo, start: number, end: number): number {
  io.reserve((end - start) * 2 + 2);
  io.out[io.at++] = 0x30;
  io.out[io.at++] = 0x78;
  for (let position = start; position < end; position++) writeHex(io, io.input[position]!);
  return end;
}

/** Where each byte of the text comes from: the first three fields are little-endian; -1 is a dash. */
const guidOrder = [3, 2, 1, 0, -1, 5, 4, -1, 7, 6, -1, 8, 9, -1, 10, 11, 12, 13, 14, 15];

/** uniqueidentifier, in quotes, upper case. */
export function writeGuid(io: RowIo, position: number): void {
  io.out[io.at++] = 0x22;
  for (let i = 0; i < guidOrder.length; i++) {
    const from = guidOrder[i]!;
    if (from < 0) io.out[io.at++] = 0x2d;
    else writeHex(io, io.input[position + from]!);
  }
  io.out[io.at++] = 0x22;
}

function writeHex(io: RowIo, byte: number): void {
  io.out[io.at++] = hexDigits[byte >> 4]!;
  io.out[io.at++] = hexDigits[byte & 15]!;
}
