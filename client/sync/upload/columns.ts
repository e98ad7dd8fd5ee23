import { limits } from '../../../protocol/constants.ts';
import { defined } from '../../../protocol/defined.ts';
import { SyncError } from '../../../protocol/errors.ts';
import { COLUMNAS_MAX, type Columna, huellaOf } from '../../../protocol/rows/drift.ts';
import type { Backend } from '../../http/backend.ts';
import type { ResultColumn } from '../../sqlserver/read/result-columns.ts';
import type { UploadHead } from '../../state/spool/manifest.ts';

/** The columns of a table's query, as the backend is told of them (protocol/SPEC.md, Schemas). */

export type ColumnDescription = NonNullable<UploadHead['esquema']>;

/** Room for the rest of the request. */
const BODY_MAX_BYTES = limits.jsonBodyMaxBytes - 4096;

/**
 * Returns the description of a result. Columns that leave encrypted have the type that they have at SQL Server: what changes
 * there, changes what is encrypted. Undefined where it is too large to be told.
 */
export function describeColumns(
  columns: readonly ResultColumn[],
  isSensitive: (name: string) => boolean,
): ColumnDescription | undefined {
  const columnas = columns.map(
    ({ name, type, length, precision, scale, nullable, collation }): Columna => ({
      nombre: name,
      tipo: type,
      ...defined({ longitud: length, precision, escala: scale }),
      nula: nullable,
      ...defined({ colacion: collation }),
      ...(isSensitive(name) ? { sensible: true } : {}),
    }),
  );
  if (columnas.length > COLUMNAS_MAX || Buffer.byteLength(JSON.stringify(columnas)) > BODY_MAX_BYTES) return undefined;
  return { huella: huellaOf(columnas), columnas };
}

/** Has the backend know a table's columns before an upload names them; one request where they are new to it, none otherwise. */
export class Announcement {
  readonly #backend: Pick<Backend, 'describeTable'>;
  readonly #tabla: string;
  /** The digest of what the backend has. */
  #known: string | undefined;
  #isUnknownThere = false;

  /** `known`: what the last upload that was applied named. */
  constructor(backend: Pick<Backend, 'describeTable'>, tabla: string, known: string | undefined) {
    this.#backend = backend;
    this.#tabla = tabla;
    this.#known = known;
  }

  /**
   * Returns what an upload is to name; undefined: nothing, as to a backend that knows no descriptions.
   *
   * @throws SyncError ESQUEMA_CAMBIADO: the table stops
   */
  async make(esquema: ColumnDescription | undefined, signal: AbortSignal): Promise<string | undefined> {
    if (esquema === undefined || this.#isUnknownThere) return undefined;
    const { huella, columnas } = esquema;
    if (huella === this.#known) return huella;
    try {
      await this.#backend.describeTable({ tabla: this.#tabla, columnas }, huella, signal);
    } catch (error) {
      if (!(error instanceof SyncError) || error.code !== 'RUTA_DESCONOCIDA') throw error;
      this.#isUnknownThere = true;
      return undefined;
    }
    this.#known = huella;
    return huella;
  }

  /** The backend has forgotten it: it is described again. */
  forget(): void {
    this.#known = undefined;
  }
}
