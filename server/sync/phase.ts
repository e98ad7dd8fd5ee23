import type { LogEntry } from '../../protocol/api.ts';
import { type Direccion, type EjecutarEn, type Fase, isPhaseAt } from '../../protocol/config.ts';
import { SyncError } from '../../protocol/errors.ts';
import type { Configuration } from '../data/configurations.ts';
import { insertLogs } from '../data/logs.ts';
import { translateSqlError } from '../postgres/errors.ts';
import type { Connection } from '../postgres/pool.ts';
import { setTenant, setTimeouts } from '../postgres/tenant.ts';
import type { Context } from './context.ts';

/** Phases of a tenant's configuration that run at PostgreSQL. */

/** Which side PostgreSQL is. */
const sideOf: Record<Direccion, EjecutarEn> = { upload: 'destino', download: 'origen' };

export interface PhaseTable {
  nombre: string;
  pre_process?: Fase;
  post_process?: Fase;
}

/**
 * Runs the phase in the open transaction as the role ax_sync_tenant, which sees only the tenant's rows, and logs it in
 * the same transaction; rows that its last statement touched. Undefined when it is not configured at PostgreSQL.
 *
 * Throws SQL_FALLO with PostgreSQL's own message.
 */
export async function runPhase(
  connection: Connection,
  { config }: Pick<Context, 'config'>,
  configuration: Configuration,
  direccion: Direccion,
  tabla: PhaseTable,
  name: 'pre_process' | 'post_process',
): Promise<number | undefined> {
  const phase = tabla[name];
  if (!isPhaseAt(phase, direccion, sideOf[direccion])) return undefined;
  const started = new Date();
  await setTenant(connection, configuration.tenantId);
  await setTimeouts(connection, { statementMs: config.SQL_TIMEOUT_MS });
  let filas: number;
  try {
    const { rows } = await connection.query<{ filas: number }>('SELECT sync_ejecutar($1)::integer AS filas', [
      phase.sql,
    ]);
    filas = rows[0]?.filas ?? 0;
  } catch (error) {
    throw translateSqlError(error, { tabla: tabla.nombre, fase: name });
  }
  await setTimeouts(connection, { statementMs: 0 });
  await insertLogs(connection, logOwner(configuration), [
    logEntry(direccion, tabla.nombre, name, started, {
      registrosAfectados: filas,
      mensaje: `${name} ejecutado en PostgreSQL`,
    }),
  ]);
  return filas;
}

/** Logs what failed at PostgreSQL, after the rollback; a log that cannot be written is only reported. */
export async function logFailure(
  { database, log }: Context,
  configuration: Configuration,
  direccion: Direccion,
  tabla: string,
  started: Date,
  error: unknown,
): Promise<void> {
  if (!(error instanceof SyncError) || error.code !== 'SQL_FALLO') return;
  const fase = error.place.fase === 'pre_process' || error.place.fase === 'post_process' ? error.place.fase : 'process';
  const entry = logEntry(direccion, tabla, fase, started, { mensaje: `Falló ${fase} en PostgreSQL` });
  const failed = { ...entry, estado: 'error' as const, errorDetalle: error.detail.slice(0, 20_000) };
  try {
    await database.withConnection((connection) => insertLogs(connection, logOwner(configuration), [failed]));
  } catch (cause) {
    log.warn({ err: cause, tabla }, 'no se pudo guardar el registro del error');
  }
}

/** A successful entry for what ran at PostgreSQL from `started` until now. */
export function logEntry(
  direccion: Direccion,
  tabla: string,
  fase: 'pre_process' | 'process' | 'post_process',
  started: Date,
  fields: Pick<LogEntry, 'registrosAfectados' | 'mensaje' | 'metadatos'>,
): LogEntry {
  const ended = new Date();
  return {
    direccion,
    tabla,
    fase,
    ejecutadoEn: sideOf[direccion],
    estado: 'exitoso',
    ...fields,
    duracionMs: ended.getTime() - started.getTime(),
    fechaInicio: started.toISOString(),
    fechaFin: ended.toISOString(),
  };
}

export function logOwner({ tenantId, id }: Configuration): { tenantId: string; configId: string } {
  return { tenantId, configId: id };
}
