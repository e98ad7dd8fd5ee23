/** Some rows of a result, as NDJSON. */
export interface NdjsonBlock {
  /** Whole lines; each ends in `\n`. Valid until the next block is pulled. */
  bytes: Uint8Array;
  rows: number;
  /** Characters that jsonb cannot hold and that became U+FFFD. */
  replacedCharacters: number;
  /** What was read for it, where a filter has dropped lines: there may be none left. */
  read?: { rows: number; bytes: number };
}
