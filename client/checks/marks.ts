import type { TablaSubida } from '../../protocol/tenant-config/config.ts';
import { undatedRowsOf } from '../../protocol/tenant-config/ultima-sync.ts';
import { describeResult } from '../sqlserver/read/range-key.ts';
import { readClocks } from '../sqlserver/session/clock.ts';
import { findOldestWriter, RIGHT_TO_SEE } from '../sqlserver/session/open-transactions.ts';
import { type SqlParameter, type SqlServer, SqlServerError } from '../sqlserver/sql-server.ts';
import type { Finding } from './checklist.ts';

/** What may keep rows behind a mark; nothing is changed. */

/** From this on an open transaction is worth a word. */
const LONG_OPEN_MINUTES = 15;

/** Looks for the oldest open transaction, at which the marks of incremental tables stay. */
export async function checkTransactions(db: SqlServer, user: string, signal: AbortSignal): Promise<Finding<void>> {
  const { local } = await readClocks(db, signal);
  const found = await findOldestWriter(db, signal);
  if (!found.seVe) {
    const note = `${user} no ve las transacciones abiertas (${found.motivo})`;
    const hole = 'Sin eso, las que tarden más que solapeSegundos pueden dejar filas sin subir, hasta una completoCada.';
    return { value: undefined, note, advice: `Dé a ${user} el permiso ${RIGHT_TO_SEE}. ${hole}` };
  }
  if (found.desde === undefined) return { value: undefined, note: 'ninguna abierta que haya escrito' };
  const minutes = (Date.parse(`${local.slice(0, 19)}Z`) - Date.parse(`${found.desde.slice(0, 19)}Z`)) / 60_000;
  const note = `la más antigua que ha escrito está abierta desde ${found.desde.slice(0, 19).replace('T', ' ')}`;
  if (minutes < LONG_OPEN_MINUTES) return { value: undefined, note };
  const advice =
    'Las marcas se quedan ahí y cada sync vuelve a leer desde entonces: termínela (DBCC OPENTRAN dice cuál es).';
  return { value: undefined, note, advice };
}

/**
 * Says what to know of rows whose `campoFecha` is NULL; undefined where the query gives none, or where nobody can tell.
 */
export async function describeUndated(
  db: SqlServer,
  tabla: TablaSubida,
  parameters: readonly SqlParameter[],
  signal: AbortSignal,
): Promise<string | undefined> {
  const { campoFecha, completoCada, process } = tabla;
  const rows = undatedRowsOf(tabla);
  if (campoFecha === undefined || rows === undefined || rows === 'siempre') return undefined;
  const columns = await describeResult(db, process.query, parameters, signal).catch((error: unknown) => {
    if (error instanceof SqlServerError && !error.retryable) return [];
    throw error;
  });
  const alike = columns.find(({ name, is_hidden }) => !is_hidden && name?.toLowerCase() === campoFecha.toLowerCase());
  if (alike?.is_nullable !== true) return undefined;
  const what = `«${alike.name}» admite NULL, y una fila sin fecha no es más nueva que ninguna marca`;
  if (rows === 'nunca') {
    return `${what}: no sube nunca. Escriba en la consulta el filtro como ${campoFecha} > @ultimaSync, o añada OR ${campoFecha} IS NULL.`;
  }
  const later = completoCada === undefined ? 'con sync --desde-cero; o ponga completoCada' : `cada ${completoCada}`;
  return `${what}: sube la primera vez, y después ${later}. Mejor, que la columna sea NOT NULL.`;
}
