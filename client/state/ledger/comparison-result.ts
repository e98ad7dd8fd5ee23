import type { LedgerName } from './ledgers.ts';

/** Keys that are gone, by hash. */
export interface Gone {
  /** PostgreSQL's bigint that the hashes were made with. */
  semilla: string;
  /** 8 bytes each, big-endian, in their order; base64. */
  huellas: string;
  /** Rows that were read. */
  leidas: number;
}

/** What a whole reading came to. */
export interface ComparisonResult {
  leidas: number;
  /** The ledger of this reading; undefined: the one that it was compared with holds, or none could be written. */
  nuevo?: LedgerName;
  bajas?: Gone;
}
