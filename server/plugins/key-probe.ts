import type { Database } from '../postgres/pool.ts';
import { findHashesInForce } from '../tenants/api-keys.ts';

/** Keys that come within this time are looked up by one query: so many a second, however many guesses. */
const TOGETHER_MS = 100;
/** More that come within it are not looked up. */
const TOGETHER_MAX = 1000;

/**
 * Tells whether a key (its hash) is one in force, for addresses that are locked out: a right key behind the same router as
 * somebody's guesses is let in, also by a server that has just started, and a guess costs PostgreSQL next to nothing.
 */
export function makeKeyProbe(database: Database): (hash: Buffer) => Promise<boolean> {
  let batch: { hashes: Buffer[]; found: Promise<Set<string>> } | undefined;

  function openBatch(): { hashes: Buffer[]; found: Promise<Set<string>> } {
    const hashes: Buffer[] = [];
    const due = new Promise<void>((resolve) => setTimeout(resolve, TOGETHER_MS));
    const found = due.then(() => {
      batch = undefined;
      return database.withConnection((connection) => findHashesInForce(connection, hashes));
    });
    return { hashes, found };
  }

  return async (hash) => {
    batch ??= openBatch();
    const { hashes, found } = batch;
    if (hashes.length >= TOGETHER_MAX) return false;
    hashes.push(hash);
    return (await found).has(hash.toString('base64'));
  };
}
