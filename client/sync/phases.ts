import type { LogEntry } from '../../protocol/api.ts';
import {
  type Direccion,
  type EjecutarEn,
  isPhaseAt,
  type NombreFase,
  type TablaBajada,
  type TablaSubida,
} from '../../protocol/config.ts';
import { SyncError } from '../../protocol/errors.ts';
import { describeError } from '../describe-error.ts';
import type { SqlParameter, SqlServer } from '../sqlserver/connection.ts';
import type { SyncContext } from './context.ts';

/** Where a phase belongs. */
export interface PhasePlace {
  direccion: Direccion;
  tabla: string;
  /** Null: before the first phase (the connection, say). */
  fase: NombreFase | null;
  ejecutadoEn: EjecutarEn | null;
}

/** What a phase did. */
export interface PhaseOutcome<T> {
  value: T;
  /** `registrosAfectados`. */
  rows: number;
  message: string;
  metadata?: Record<string, unknown>;
}

/** A phase failed, and that has been logged and recorded; the reason is the cause. */
export class PhaseFailure extends Error {
  constructor(cause: unknown) {
    super('phase failed', { cause });
    this.name = 'PhaseFailure';
  }
}

/**
 * Runs a phase and records it: a line in the local log and an entry of the specification's shape for the backend's
 * `sync_logs`. `atBackend`: the backend ran it and recorded it itself; recorded here only when it was not reached.
 *
 * Throws PhaseFailure.
 */
export async function recordPhase<T>(
  { journal, log }: Pick<SyncContext, 'journal' | 'log'>,
  place: PhasePlace,
  work: () => Promise<PhaseOutcome<T>>,
  { atBackend = false }: { atBackend?: boolean } = {},
): Promise<T> {
  const startedAt = new Date();
  const entry = (rest: Partial<LogEntry> & Pick<LogEntry, 'estado'>): LogEntry => ({
    ...place,
    duracionMs: Date.now() - startedAt.getTime(),
    fechaInicio: startedAt.toISOString(),
    fechaFin: new Date().toISOString(),
    ...rest,
  });
  const title = place.fase === null ? '' : `${place.fase} (${place.direccion}, ${place.ejecutadoEn}): `;
  try {
    const { value, rows, message, metadata } = await work();
    const done = entry({ estado: 'exitoso', registrosAfectados: rows, mensaje: message });
    if (!atBackend) journal.add(metadata === undefined ? done : { ...done, metadatos: metadata });
    log.info(`${title}${message} [${done.duracionMs} ms]`, place.tabla);
    return value;
  } catch (error) {
    if (error instanceof PhaseFailure) throw error;
    const { text, detail } = describeError(error);
    if (!atBackend || !(error instanceof SyncError)) {
      journal.add(entry({ estado: 'error', mensaje: text, errorDetalle: detail }));
    }
    log.error(`${title}${text}`, place.tabla);
    throw new PhaseFailure(error);
  }
}

/**
 * Runs `fase` at SQL Server when the configuration puts it there. `prepare` gives the SQL its placeholders' values and
 * its parameters.
 */
export async function runPhaseAtSqlServer(
  context: SyncContext,
  db: SqlServer,
  direccion: Direccion,
  tabla: TablaSubida | TablaBajada,
  fase: 'pre_process' | 'post_process',
  prepare: (sql: string) => { sql: string; parameters?: SqlParameter[] },
): Promise<void> {
  const side: EjecutarEn = direccion === 'upload' ? 'origen' : 'destino';
  const configured = tabla[fase];
  if (!isPhaseAt(configured, direccion, side)) return;
  const { sql, parameters } = prepare(configured.sql);
  await recordPhase(context, { direccion, tabla: tabla.nombre, fase, ejecutadoEn: side }, async () => {
    const options = { signal: context.signal, ...(parameters === undefined ? {} : { parameters }) };
    const { rowsAffected } = await db.execute(sql, options);
    return { value: undefined, rows: rowsAffected, message: `SQL ejecutado, ${rowsAffected} registros afectados` };
  });
}

/** Asks the backend to run a download's phase at PostgreSQL when the configuration puts it there. */
export async function runPhaseAtBackend(
  context: SyncContext,
  tabla: TablaBajada,
  fase: 'pre_process' | 'post_process',
): Promise<void> {
  if (!isPhaseAt(tabla[fase], 'download', 'origen')) return;
  const place = { direccion: 'download', tabla: tabla.nombre, fase, ejecutadoEn: 'origen' } as const;
  await recordPhase(
    context,
    place,
    async () => {
      const { registrosAfectados } = await context.backend.runPhase({ tabla: tabla.nombre, fase }, context.signal);
      const message = `SQL ejecutado en el backend, ${registrosAfectados} registros afectados`;
      return { value: undefined, rows: registrosAfectados, message };
    },
    { atBackend: true },
  );
}
