/** Words that must not be written anywhere: keys and passwords of this run. */
export class Secrets {
  readonly #secrets: string[] = [];

  add(secret: string | undefined): void {
    // Shorter ones are words that a text holds by chance.
    if (secret !== undefined && secret.length >= 4) this.#secrets.push(secret);
  }

  /** `text` with `***` in the place of each secret. */
  scrub(text: string): string {
    return this.#secrets.reduce((result, secret) => result.replaceAll(secret, '***'), text);
  }
}
