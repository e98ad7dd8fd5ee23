import Type from 'typebox';

/** How an upload finds what changed (`cambios`), and what becomes of rows that are gone (`bajas`). */

export const CambiosSchema = Type.Union([
  Type.Literal('completo'),
  Type.Literal('marca'),
  Type.Literal('rowversion'),
  Type.Literal('seguimiento'),
  Type.Literal('huellas'),
]);
export type Cambios = Type.Static<typeof CambiosSchema>;

export const BajasSchema = Type.Union([Type.Literal('desactivar'), Type.Literal('borrar'), Type.Literal('ignorar')]);
export type Bajas = Type.Static<typeof BajasSchema>;

/** What the fields mean, in either direction. */
export const CAMBIOS_ENGLISH =
  'how changes are found: `completo` (everything goes), `marca` (watermark), `rowversion`, `seguimiento` (Change Tracking), `huellas` (row hashes)';
export const BAJAS_ENGLISH =
  'what becomes of rows that are gone: `desactivar` (deactivate), `borrar` (delete), `ignorar` (ignore)';

/** Of a download. */
export const CambiosBajadaSchema = Type.Union([Type.Literal('completo'), Type.Literal('huellas')]);
export const BajasBajadaSchema = Type.Union([Type.Literal('borrar'), Type.Literal('ignorar')]);

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

/** Returns whether a reading of the table knows which rows are gone without reading everything. */
export function knowsBajas(cambios: Cambios): boolean {
  return cambios === 'huellas' || cambios === 'seguimiento';
}

/** Returns what becomes of rows that are gone; `desactivarAusentes` is the older way to say it. */
export function bajasOf(tabla: Said): Bajas {
  const { bajas, desactivarAusentes } = tabla;
  if (bajas !== undefined) return bajas;
  return desactivarAusentes === true || knowsBajas(cambiosOf(tabla)) ? 'desactivar' : 'ignorar';
}
