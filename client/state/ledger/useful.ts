import { WholeUploadNeeded } from '../whole-upload-needed.ts';
import { type HashList, HashSet } from './hash-list.ts';
import { LedgerDamaged, type LedgerReader, PAIR_WORDS } from './ledger-file.ts';

/** A ledger as a comparison reads it: where it is damaged, it is of no use. */

/**
 * Returns which of `gone`, by index, are among `fresh`, the keys that were sent as new.
 * @throws {WholeUploadNeeded} repetidas, danado
 */
export function findMoved(old: LedgerReader, fresh: HashList, gone: HashList): Set<number> {
  const moved = new Set<number>();
  if (fresh.length === 0) return moved;
  const IN_LEDGER = 1;
  const MOVED = 2;
  const known = new HashSet(fresh);
  const blocks = old.blocks();
  for (let words = nextOf(blocks); words !== undefined; words = nextOf(blocks)) {
    for (let at = 0; at < words.length; at += PAIR_WORDS) known.mark(words[at]!, words[at + 1]!, IN_LEDGER);
  }
  for (let index = 0; index < gone.length; index++) {
    if (known.mark(gone.high(index), gone.low(index), MOVED)) moved.add(index);
  }
  if (known.count(IN_LEDGER) > 0) throw new WholeUploadNeeded('repetidas');
  return moved;
}

/**
 * Returns the next block of a ledger; undefined behind the last.
 * @throws {WholeUploadNeeded} danado
 */
export function nextOf(blocks: Generator<Uint32Array>): Uint32Array | undefined {
  try {
    const next = blocks.next();
    return next.done === true ? undefined : next.value;
  } catch (error) {
    throw asUseless(error);
  }
}

/** Returns what damage of a ledger means to a comparison; any other error as it is. */
export function asUseless(error: unknown): unknown {
  return error instanceof LedgerDamaged ? new WholeUploadNeeded('danado') : error;
}
