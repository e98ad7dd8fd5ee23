import Type from 'typebox';
import { field, laterSql, schemasOf } from './field.ts';
import { Strict } from './values.ts';

/**
 * The guard before bajas, at the centre and at SQL Server alike: a source that lost its rows in one go is more likely broken
 * than right.
 */

export const GUARDA_BAJAS = 500;
export const GUARDA_PORCIENTO = 20;
/** Smaller tables are guarded against an empty source alone. */
export const GUARDA_FILAS_MINIMAS = 100;
/** Keys of a sample. */
export const MUESTRA_MAX = 20;

/** More are counted anyway. */
const MAX_ROWS = 1_000_000_000;

/** Of `guarda`. */
export const guardFields = {
  bajas: field(Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000_000 })), {
    english: 'removals',
    description: `cuántas filas tienen que faltar, más de estas, para que esperen. Por omisión, ${GUARDA_BAJAS}`,
    touches: { guard: true, sql: true },
  }),
  porciento: field(Type.Optional(Type.Number({ minimum: 0, maximum: 100 })), {
    english: 'percent',
    description: `qué parte de la tabla, en %, tienen que ser además. Por omisión, ${GUARDA_PORCIENTO}`,
    touches: { guard: true, sql: true },
  }),
};

export const GuardaSchema = Type.Object(schemasOf(guardFields), Strict);

/** `guarda` of a table. */
export type Guarda = Type.Static<typeof GuardaSchema>;

/**
 * Returns what is approved of the guard at SQL Server: one that lets more rows go than the default does. The text of an
 * update is approved with the guard that stands behind it, so the backend must not open it alone.
 */
export function sqlOfGuard(guarda: Guarda = {}): string | undefined {
  const { bajas = GUARDA_BAJAS, porciento = GUARDA_PORCIENTO } = guarda;
  const later = laterSql(guardFields, guarda, ['bajas', 'porciento']);
  if (bajas <= GUARDA_BAJAS && porciento <= GUARDA_PORCIENTO && later.length === 0) return undefined;
  return [`hasta ${bajas} bajas, o el ${porciento} % de la tabla, sin preguntar`, ...later].join('\n');
}

/**
 * Returns whether `bajas` of the `total` rows that were there have to wait for a person: nothing came at all
 * (`recibidas`), or they are many both by count and by share.
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

/** Returns a number of rows of which, and of any more, `bajas` do not have to wait; undefined: count them all. */
export function enoughRows(bajas: number, guarda: Guarda = {}): number | undefined {
  const share = Math.ceil((bajas * 100) / (guarda.porciento ?? GUARDA_PORCIENTO));
  const total = Math.max(GUARDA_FILAS_MINIMAS, share);
  return total <= MAX_ROWS && !isRetained({ bajas, total, recibidas: 1 }, guarda) ? total : undefined;
}
