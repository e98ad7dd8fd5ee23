/**
 * The guard before bajas, at the centre and at SQL Server alike: a source that lost its rows in one go is more likely broken
 * than right.
 */

/** `guarda` of a table. */
export interface Guarda {
  /** More than so many bajas … */
  bajas?: number;
  /** … that are more than so many percent of the table are retained. */
  porciento?: number;
}

export const GUARDA_BAJAS = 500;
export const GUARDA_PORCIENTO = 20;
/** Smaller tables are guarded against an empty source alone. */
export const GUARDA_FILAS_MINIMAS = 100;
/** Keys of a sample. */
export const MUESTRA_MAX = 20;

/**
 * Whether `bajas` of the `total` rows that were there have to wait for a person: nothing came at all (`recibidas`), or they
 * are many both by count and by share.
 */
export function isRetained(
  { bajas, total, recibidas }: { bajas: number; total: number; recibidas: number },
  guarda: Guarda = {},
): boolean {
  if (bajas === 0) return false;
  if (recibidas === 0) return true;
  const many = bajas > (guarda.bajas ?? GUARDA_BAJAS);
  const share = bajas * 100 > total * (guarda.porciento ?? GUARDA_PORCIENTO);
  return many && share && total >= GUARDA_FILAS_MINIMAS;
}
