import { isPhaseAt, type TablaBajada } from '../../protocol/tenant-config/config.ts';
import { agentError } from '../errors/agent-error.ts';
import type { Backend } from '../http/backend.ts';
import type { SqlServer } from '../sqlserver/sql-server.ts';
import { quoteTable } from '../sqlserver/tables/ddl.ts';
import { readFrame } from '../sync/download/frame.ts';
import { columnsOf, keyNames } from '../sync/download/target.ts';
import type { Finding } from './checklist.ts';

/** What a download table needs of the backend and of its target; nothing is changed. */

/** Asks the backend for a download and reads how it begins: whether it is offered, and with which columns. */
export async function checkDownload(backend: Backend, tabla: TablaBajada, signal: AbortSignal) {
  const { start, rows } = await readFrame(await backend.openDownload(tabla.nombre, signal));
  await rows.return(undefined);
  const columns = columnsOf(tabla, start.schema);
  keyNames(tabla, columns);
  return { value: columns, note: `el backend la ofrece con ${columns.map(({ name }) => name).join(', ')}` };
}

/** Checks whether the target exists. */
export async function checkTarget(
  db: SqlServer,
  tabla: TablaBajada,
  columns: { name: string }[],
  signal: AbortSignal,
): Promise<Finding<boolean>> {
  const sql = 'SELECT name FROM sys.columns WHERE object_id = OBJECT_ID(@nombre)';
  const parameters = [{ name: 'nombre', type: 'nvarchar' as const, value: quoteTable(tabla.nombre) }];
  const found = (await db.query(sql, { parameters, signal })).map(({ name }) => String(name).toLowerCase());
  if (found.length === 0) return { value: false, note: 'no existe todavía: se creará en la primera bajada' };
  const missing = columns.filter(({ name }) => !found.includes(name.toLowerCase())).map(({ name }) => name);
  // A post_process of one's own may map columns as it likes; the built-in update takes them by name.
  if (missing.length > 0 && !isPhaseAt(tabla.post_process, 'download', 'destino')) {
    throw agentError('DESTINO_SIN_COLUMNAS', { tabla: tabla.nombre, columnas: missing.join(', ') });
  }
  return { value: true, note: 'existe' };
}
