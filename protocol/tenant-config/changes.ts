/** How an upload finds what changed (`cambios`), and what becomes of rows that are gone (`bajas`). */

export const CAMBIOS = ['completo', 'marca', 'rowversion', 'seguimiento', 'huellas'] as const;
export type Cambios = (typeof CAMBIOS)[number];

export const BAJAS = ['desactivar', 'borrar', 'ignorar'] as const;
export type Bajas = (typeof BAJAS)[number];

/** The fields that say it, of today and of before. */
interface Said {
  cambios?: Cambios;
  incremental?: boolean;
  bajas?: Bajas;
  desactivarAusentes?: boolean;
}

/** Returns how a table finds what changed; `incremental` is the older way to say `marca` or `completo`. */
export function cambiosOf({ cambios, incremental }: Said): Cambios {
  return cambios ?? (incremental === true ? 'marca' : 'completo');
}

/** Whether a reading of the table knows which rows are gone without reading everything. */
export function knowsBajas(cambios: Cambios): boolean {
  return cambios === 'huellas' || cambios === 'seguimiento';
}

/** Returns what becomes of rows that are gone; `desactivarAusentes` is the older way to say it. */
export function bajasOf(tabla: Said): Bajas {
  const { bajas, desactivarAusentes } = tabla;
  if (bajas !== undefined) return bajas;
  return desactivarAusentes === true || knowsBajas(cambiosOf(tabla)) ? 'desactivar' : 'ignorar';
}
