/** A value that its column cannot hold; `rule`, Spanish, completes "el valor no se puede cargar: …". */
export class UnfitValue extends Error {
  readonly rule: string;

  constructor(rule: string) {
    super(rule);
    this.rule = rule;
  }
}

/** A value that its column would round, or cut: SQL Server does so in silence where it converts. */
export class LossyValue extends UnfitValue {}
