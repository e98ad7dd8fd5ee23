// Placeholder, to be replaced by the real one.
import type { NdjsonBlock, SqlParameter, SqlServer } from './connection.ts';
export interface RangeEnd {
  ultima: string;
}
export interface RangeKey {
  name: string;
  type: string;
}
export async function findRangeKey(
  _db: SqlServer,
  _query: string,
  _parameters: readonly SqlParameter[],
  _columna: string,
  _signal: AbortSignal,
): Promise<RangeKey> {
  throw new Error('not yet');
}
export interface RangeOptions {
  parameters: readonly SqlParameter[];
  names: readonly string[];
  blockBytes: number;
  signal: AbortSignal;
  key: RangeKey;
  filas: number;
  after?: string;
}
export async function* readRanges(
  _db: SqlServer,
  _query: string,
  _options: RangeOptions,
): AsyncGenerator<NdjsonBlock | RangeEnd> {
  throw new Error('not yet');
}
