/** Why what was known of a table is of no use to a reading of it. */
export type UselessReason = 'danado' | 'desordenado' | 'repetidas' | 'muchasBajas' | 'caducada';

/** The table has to be read and sent whole. Nothing of this reading has been applied. */
export class WholeUploadNeeded extends Error {
  override readonly name = 'WholeUploadNeeded';
  readonly reason: UselessReason;

  constructor(reason: UselessReason) {
    super(reason);
    this.reason = reason;
  }
}
