/** The placeholders of a query that filters by rowversion itself. */

export const DESDE_VERSION = 'desdeVersion';
export const HASTA_VERSION = 'hastaVersion';

/** Returns which of the two a query mentions (T-SQL names are case-insensitive). */
export function boundsIn(query: string): { desde: boolean; hasta: boolean } {
  return { desde: /@desdeVersion\b/i.test(query), hasta: /@hastaVersion\b/i.test(query) };
}
