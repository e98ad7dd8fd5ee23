import type { Collation } from 'tedious/lib/collation.js';

import type { TokenKind } from './row-scanner.ts';
import type { Out, RowWriter } from './row-writer.ts';
import { UnfitValue } from './unfit.ts';

/** How one type goes into a bulk load. A value takes at most MAX_OVERHEAD bytes more than twice its JSON. */
export interface Codec {
  id: number;
  typeInfo(out: Out, collation: Collation | undefined): void;
  /** NULL is one zero byte for all but the types with a two-byte or PLP length. */
  nil?(out: Out): void;
  /** Throws UnfitValue before it writes a byte. */
  write(out: Out, value: string | boolean): void;
  /** The short way, for what most values look like (`Encode`). */
  encode?: Encode;
}

/**
 * Writes the JSON token `bytes[start, end)`, a string's without its quotes, as `write` writes its value; or answers false, and
 * then has written nothing: `write` says what is to be done with it. May throw UnfitValue as `write` would.
 */
export type Encode = (out: RowWriter, kind: TokenKind, bytes: Uint8Array, start: number, end: number) => boolean;

/** Of a codec's value: a PLP header, a chunk's length and the end of the chunks are 16 bytes; a decimal is 18. */
export const MAX_OVERHEAD = 24;

export function writeNil(codec: Codec, out: Out): void {
  if (codec.nil === undefined) out.writeUInt8(0);
  else codec.nil(out);
}

/** Makes a TYPE_INFO that is the same whatever the collation. */
export function bytes(...info: number[]): (out: Out) => void {
  const buffer = Buffer.from(info);
  return (out) => out.writeBuffer(buffer);
}

/** @throws {UnfitValue} for a boolean */
export function textOnly(value: string | boolean): string {
  if (typeof value === 'boolean') throw new UnfitValue('es un booleano');
  return value;
}

/** Returns the text of a number; a JSON boolean in a column of numbers is 1 or 0. */
export function numberText(value: string | boolean): string {
  return typeof value === 'string' ? value : value ? '1' : '0';
}

const plpUnknownLength = Buffer.from([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
const plpNull = Buffer.alloc(8, 0xff);

/** Writes a two-byte length, or PLP for MAX ([MS-TDS] 2.2.5.2.3), each with its own NULL. */
export function lengthPrefix(max: boolean) {
  return {
    nil: (out: Out) => (max ? out.writeBuffer(plpNull) : out.writeUInt16LE(0xffff)),
    open(out: Out, byteLength: number): void {
      if (max) {
        out.writeBuffer(plpUnknownLength);
        if (byteLength > 0) out.writeUInt32LE(byteLength);
      } else out.writeUInt16LE(byteLength);
    },
    close(out: Out): void {
      if (max) out.writeUInt32LE(0);
    },
  };
}
