import {
  bajasOf,
  type Cambios,
  cambiosOf,
  isPhaseAt,
  primaryKeyOf,
  type TablaBajada,
  type TablaSubida,
} from '../../protocol/tenant-config/config.ts';
import { mentionsMark } from '../../protocol/tenant-config/ultima-sync.ts';
import { readTrackingState } from '../sqlserver/read/change-tracking.ts';
import { describeResult } from '../sqlserver/read/range-key.ts';
import { type SqlParameter, type SqlServer, SqlServerError } from '../sqlserver/sql-server.ts';
import { baseTablesOf, planTracking, resolveBaseTables } from '../sync/upload/change-tracking.ts';
import type { Finding } from './checklist.ts';

/** How a table finds what changed, and whether it could do so better; nothing is changed. */

/** Below this, a long weekend makes every table go whole. */
const LEAST_RETENTION_HOURS = 72;

interface Proposal {
  cambios: Cambios;
  /** What to write. */
  campos: string;
  why: string;
}

/**
 * Proposes the best `cambios` that the table allows, and why.
 * @throws {SqlServerError} for a connection that breaks
 */
export async function checkChanges(
  db: SqlServer,
  tabla: TablaSubida,
  parameters: readonly SqlParameter[],
  signal: AbortSignal,
): Promise<Finding<void>> {
  const kind = cambiosOf(tabla);
  const { cambios, campos, why } = await proposeChanges(db, tabla, parameters, signal);
  const note = cambios === kind ? `${kind}: ${why}` : `${kind}; mejor ${campos}: ${why}`;
  const advice = kind === 'seguimiento' ? await adviseRetention(db, signal) : undefined;
  return { value: undefined, note, ...(advice === undefined ? {} : { advice }) };
}

async function proposeChanges(
  db: SqlServer,
  tabla: TablaSubida,
  parameters: readonly SqlParameter[],
  signal: AbortSignal,
): Promise<Proposal> {
  const described = await describeResult(db, tabla.process.query, parameters, signal).catch((error: unknown) => {
    if (error instanceof SqlServerError && !error.retryable) return [];
    throw error;
  });
  const columns = described.filter(({ is_hidden, name }) => !is_hidden && name !== null);
  const version = columns.find(({ system_type_name }) => /^(timestamp|rowversion)$/.test(system_type_name ?? ''));
  const tracked = await findTracked(db, tabla, columns, signal);
  const wantsBajas = bajasOf(tabla) !== 'ignorar';
  // Of the two, rowversion does not see what is gone.
  if (tracked !== undefined && (wantsBajas || version === undefined)) return tracked;
  if (version !== undefined) {
    return {
      cambios: 'rowversion',
      campos: `"cambios": "rowversion", "columna": "${version.name}"`,
      why: `«${version.name}» es rowversion: solo se lee lo escrito, sin depender de fechas ni de relojes (las bajas, con completoCada)`,
    };
  }
  if (mentionsMark(tabla.process.query)) {
    const why = 'la consulta filtra por @ultimaSync, y no hay rowversion ni Change Tracking que lo haga mejor';
    return { cambios: 'marca', campos: '"cambios": "marca"', why };
  }
  const why = 'vale para cualquier consulta: se lee entera, y solo viaja lo que cambió y lo que falta';
  return { cambios: 'huellas', campos: '"cambios": "huellas"', why };
}

/** Returns the same of a download. */
export function checkDownloadChanges(tabla: TablaBajada): Finding<void> {
  const kind = tabla.cambios ?? 'completo';
  const found = (note: string) => ({ value: undefined, note });
  if (kind === 'huellas') return found('huellas: solo baja lo que cambió, y se sabe lo que ya no está');
  if (primaryKeyOf(tabla).length === 0) return found('completo: sin primaryKey no se sabe qué filas cambiaron');
  const better = 'completo; mejor "cambios": "huellas": solo bajaría lo que cambió, y se sabría lo que ya no está';
  if (!isPhaseAt(tabla.post_process, 'download', 'destino')) return found(better);
  return found(
    `${better}, si el post_process se conforma con eso: {temp_table} tendría los cambios y {temp_bajas} las claves`,
  );
}

/** Undefined where the table that the key of each row comes from is not tracked, or nobody can tell. */
async function findTracked(
  db: SqlServer,
  tabla: TablaSubida,
  columns: Awaited<ReturnType<typeof describeResult>>,
  signal: AbortSignal,
): Promise<Proposal | undefined> {
  const key = [...primaryKeyOf(tabla), 'codigo'].map((name) => name.toLowerCase());
  const source = columns.find(({ name, source_table }) => source_table !== null && key.includes(name!.toLowerCase()));
  if (source === undefined || source.source_server !== null) return undefined;
  const base = `${source.source_schema ?? 'dbo'}.${source.source_table}`;
  const { minimos } = await readTrackingState(db, [base], signal);
  if (minimos[0] === null) return undefined;
  const same = source.source_column?.toLowerCase() === source.name!.toLowerCase();
  const clave = same ? '' : `, "clave": { "${source.source_column}": "${source.name}" }`;
  return {
    cambios: 'seguimiento',
    campos: `"cambios": "seguimiento", "seguimiento": [{ "tabla": "${base}"${clave} }] (y las demás tablas de la consulta)`,
    why: `${base} tiene Change Tracking: solo se lee lo que cambió, y se sabe lo que falta`,
  };
}

/**
 * Sees that what `seguimiento` names is there.
 * @throws {SqlServerError} SEGUIMIENTO_AUSENTE, SEGUIMIENTO_CLAVE
 */
export async function assertTracked(db: SqlServer, tabla: TablaSubida, signal: AbortSignal): Promise<void> {
  const bases = baseTablesOf(tabla);
  planTracking(bases, undefined, await readTrackingState(db, bases, signal), { isDue: false, isAsked: false });
  await resolveBaseTables(db, tabla, signal);
}

async function adviseRetention(db: SqlServer, signal: AbortSignal): Promise<string | undefined> {
  const sql = `SELECT retention_period AS cuanto, retention_period_units AS unidad, is_auto_cleanup_on AS limpia
    FROM sys.change_tracking_databases WHERE database_id = DB_ID()`;
  const [row] = await db.query(sql, { signal });
  if (row === undefined || row.limpia === false) return undefined;
  const hours = (Number(row.cuanto) * ([1, 60, 1440][Number(row.unidad) - 1] ?? 1)) / 60;
  if (hours >= LEAST_RETENTION_HOURS) return undefined;
  return (
    `Los cambios se conservan ${hours} h: tras más tiempo sin sincronizar, la tabla se compara entera. Amplíelo: ` +
    'ALTER DATABASE CURRENT SET CHANGE_TRACKING (CHANGE_RETENTION = 7 DAYS).'
  );
}
