import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { defined } from '../../protocol/defined.ts';
import { type ErrorPlace, SyncError } from '../../protocol/errors.ts';
import { copyLinesInto } from '../postgres/copy.ts';
import { translateCopyError } from '../postgres/errors.ts';
import type { Connection } from '../postgres/pool.ts';
import { collecting } from './memory.ts';
import { readBody } from './stages/body.ts';
import { differentDigest } from './stages/digest.ts';
import { type Stage, throughStages } from './stages/stage.ts';

/** A body on its way to a staging table. */
export interface Incoming {
  body: Readable;
  /** Idle timeout. */
  idleMs: number;
  /** What it passes, in this order. */
  stages: readonly Stage[];
  /** Set by the stage of the digest. */
  verdict: { differs: boolean };
}

/**
 * Copies a body through its stages into a staging table. Returns how many rows.
 * @throws {SyncError} what a stage or COPY refuses, with its line and `place`
 */
export async function copyBody(
  connection: Connection,
  table: string,
  { body, idleMs, stages, verdict }: Incoming,
  place: Pick<ErrorPlace, 'tabla' | 'trozo'>,
): Promise<number> {
  const copy = copyLinesInto(connection, table);
  const lines = collecting(throughStages(readBody(body, idleMs), stages));
  try {
    await pipeline(lines, copy);
  } catch (error) {
    // Until every stage has ended, the digest's among them: damage on the way is the reason, not what it led to.
    await lines.return(undefined).catch(() => {});
    throw placed(verdict.differs ? differentDigest(error) : translateCopyError(error, place), place);
  }
  return copy.rowCount;
}

/** Reads a body of which nothing but its digest is wanted. */
export async function drainBody({ body, idleMs }: Incoming, stages: readonly Stage[]): Promise<void> {
  for await (const _ of throughStages(readBody(body, idleMs), stages));
}

/** Adds table and chunk to the error of a stage, which knows its line. */
function placed(error: unknown, place: Pick<ErrorPlace, 'tabla' | 'trozo'>): unknown {
  if (!(error instanceof SyncError)) return error;
  const { code, detail, retryAfter, cause } = error;
  return new SyncError(code, detail, {
    ...place,
    ...error.place,
    ...defined({ retryAfter }),
    cause,
  });
}
