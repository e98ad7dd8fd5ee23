import type { Collation } from 'tedious/lib/collation.js';
import type { TokenKind } from '../load/scanner.ts';
import { UnfitValue } from '../types/exact-numbers.ts';
import type { RowWriter } from './row-writer.ts';

/** A value of a row: numbers as the text they were written as, nested JSON as its text. */
export type Cell = string | boolean | null;

/** Where a value is written: what RowWriter and the buffer of tedious have in common. */
export interface Out {
  writeUInt8(value: number): void;
  writeUInt16LE(value: number): void;
  writeUInt24LE(value: number): void;
  writeUInt32LE(value: number): void;
  writeInt16LE(value: number): void;
  writeInt32LE(value: number): void;
  writeBigInt64LE(value: bigint): void;
  writeFloatLE(value: number): void;
  writeDoubleLE(value: number): void;
  writeBuffer(value: Buffer): void;
  writeString(value: string, encoding: 'ucs2'): void;
}

/** How one type goes into a bulk load. A value takes at most MAX_OVERHEAD bytes more than twice its JSON. */
export interface Codec {
  id: number;
  typeInfo(out: Out, collation: Collation | undefined): void;
  /** NULL is one zero byte for all but the types with a two-byte or PLP length. */
  nil?(out: Out): void;
  /** Throws UnfitValue before it writes a byte. */
  write(out: Out, value: string | boolean): void;
  /** The short way, for what most values look like (byte-codecs.ts). */
  encode?: Encode;
}

/**
 * Writes the JSON token `bytes[start, end)`, a string's without its quotes, as `write` writes its value; or answers false, and
 * then has written nothing: `write` says what is to be done with it. May throw UnfitValue as `write` would.
 */
export type Encode = (out: RowWriter, kind: TokenKind, bytes: Uint8Array, start: number, end: number) => boolean;

/** Of a codec's value: a PLP header, a chunk's length and the end of the chunks are 16 bytes; a decimal is 18. */
export const MAX_OVERHEAD = 24;

export function writeNull(codec: Codec, out: Out): void {
  if (codec.nil === undefined) out.writeUInt8(0);
  else codec.nil(out);
}

/** A TYPE_INFO that is the same whatever the collation. */
export function bytes(...info: number[]): (out: Out) => void {
  const buffer = Buffer.from(info);
  return (out) => out.writeBuffer(buffer);
}

/** Throws UnfitValue for a boolean. */
export function textOnly(value: string | boolean): string {
  if (typeof value === 'boolean') throw new UnfitValue('es un booleano');
  return value;
}
