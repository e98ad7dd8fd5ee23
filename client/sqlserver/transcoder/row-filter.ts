/**
 * Decides as rows come from SQL Server which lines are written: a row that is as it was is told by its bytes, and never becomes JSON.
 * What it throws ends the reading.
 */
export interface RowFilter {
  /**
   * Told before the first row what all of them are made of: rows of the same description whose bytes are the same are the same line.
   * Answers what each row is hashed with before it is asked about.
   */
  begin(description: string): { update(view: DataView, start: number, end: number): void };
  /** Whether the row that was hashed last needs no line. */
  isNext(): boolean;
  /** Whether the line that was written for it then goes on: `out` from `start` up to `end`, without its end of line. */
  keeps(out: Buffer, start: number, end: number): boolean;
  /** A block ends here. */
  cut(): void;
}
