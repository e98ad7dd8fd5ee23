import type { Collation } from 'tedious/lib/collation.js';
import type { DataType } from 'tedious/lib/data-type.js';
import { UnfitValue } from './exact.ts';

/** A value of a row: numbers as the text they were written as, nested JSON as its text. */
export type Cell = string | boolean | null;

export type Out = Parameters<DataType['writeValue']>[0];

/** How one type goes into a bulk load. */
export interface Codec {
  id: number;
  typeInfo(out: Out, collation: Collation | undefined): void;
  /** NULL is one zero byte for all but the types with a two-byte or PLP length. */
  nil?(out: Out): void;
  /** Throws UnfitValue before it writes a byte. */
  write(out: Out, value: string | boolean): void;
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
