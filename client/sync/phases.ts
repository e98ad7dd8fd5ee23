import type { LogEntry } from '../../protocol/api.ts';
import { defined } from '../../protocol/defined.ts';
import { SyncError } from '../../protocol/errors.ts';
import {
  type Direccion,
  type EjecutarEn,
  isPhaseAt,
  type NombreFase,
  type TablaBajada,
  type TablaSubida,
} from '../../protocol/tenant-config/config.ts';
import { describeError } from '../errors/describe-error.ts';
import { isDeadlock, withRetries } from '../errors/retry.ts';
import { notToBeRepeated, type SqlParameter, type SqlServer, SqlServerError } from '../sqlserver/sql-server.ts';
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
  /** Default exitoso. */
  estado?: 'parcial';
  metadata?: Record<string, unknown>;
}

/** A phase failed, which is not recorded yet (recordFailure); the reason is the cause. */
export class PhaseFailure extends Error {
  readonly place: PhasePlace;
  readonly startedAt: Date;
  /** The backend ran it, and recorded it itself where it was reached. */
  readonly atBackend: boolean;
  constructor(cause: unknown, place: PhasePlace, { startedAt = new Date(), atBackend = false } = {}) {
    super('phase failed', { cause });
    this.name = 'PhaseFailure';
    this.place = place;
    this.startedAt = startedAt;
    this.atBackend = atBackend;
  }
}

type Records = Pick<SyncContext, 'outbox' | 'log'>;

/**
 * Runs a phase and records its success: a line in the local log and an entry of the specification's shape for the
 * backend's `sync_logs` (`atBackend`: the backend ran it and recorded it itself).
 * @throws {PhaseFailure}, for whoever decides whether it is tried again or recorded
 */
export async function recordPhase<T>(
  { outbox, log }: Records,
  place: PhasePlace,
  work: () => Promise<PhaseOutcome<T>>,
  { atBackend = false }: { atBackend?: boolean } = {},
): Promise<T> {
  const startedAt = new Date();
  let outcome: PhaseOutcome<T>;
  try {
    outcome = await work();
  } catch (error) {
    throw new PhaseFailure(error, place, { startedAt, atBackend });
  }
  const { value, rows, message, metadata, estado = 'exitoso' } = outcome;
  const done = entryOf(place, startedAt, { estado, registrosAfectados: rows, mensaje: message });
  if (!atBackend) outbox.add(metadata === undefined ? done : { ...done, metadatos: metadata });
  log.info(`${titleOf(place)}${message} [${done.duracionMs} ms]`, place.tabla);
  return value;
}

/** Records a phase that failed for good, in the log and for the backend. */
export function recordFailure({ outbox, log }: Records, { place, startedAt, atBackend, cause }: PhaseFailure): void {
  const { text, detail, code } = describeError(cause);
  if (!atBackend || !(cause instanceof SyncError)) {
    const metadatos = { codigo: code };
    outbox.add(entryOf(place, startedAt, { estado: 'error', mensaje: text, errorDetalle: detail, metadatos }));
  }
  log.error(`${titleOf(place)}${text}`, place.tabla);
}

function entryOf(place: PhasePlace, startedAt: Date, rest: Partial<LogEntry> & Pick<LogEntry, 'estado'>): LogEntry {
  return {
    ...place,
    duracionMs: Date.now() - startedAt.getTime(),
    fechaInicio: startedAt.toISOString(),
    fechaFin: new Date().toISOString(),
    ...rest,
  };
}

function titleOf({ fase, direccion, ejecutadoEn }: PhasePlace): string {
  return fase === null ? '' : `${fase} (${direccion}, ${ejecutadoEn}): `;
}

/** Returns what went wrong, in a phase or outside of them. */
export function causeOf(error: unknown): unknown {
  return error instanceof PhaseFailure ? error.cause : error;
}

/**
 * Returns whether a table is worth another connection to SQL Server: it could not be made, or broke while rows were
 * read or loaded. The customer's SQL may have run before its answer was lost: the next run repeats it, as it does every
 * time.
 */
export function isLostConnection(error: unknown): boolean {
  if (error instanceof PhaseFailure && error.place.fase !== 'process') return false;
  const cause = causeOf(error);
  return cause instanceof SqlServerError && cause.retryable;
}

/**
 * Repeats what SQL Server undid to break a deadlock. For what ran in one transaction of ours alone (SqlServer.transaction): of any
 * other batch the last transaction was undone, and what came before it is done.
 */
export function retryDeadlocks<T>(
  { log, policy, signal }: Pick<SyncContext, 'log' | 'policy' | 'signal'>,
  tabla: string,
  work: () => Promise<T>,
): Promise<T> {
  const onRetry = (error: unknown) => log.warn(`${describeError(error).message} Se repite.`, tabla);
  return withRetries(work, { signal, policy, when: isDeadlock, onRetry });
}

/** Which of a table's two phases of customer's SQL. */
export interface SqlPhase {
  direccion: Direccion;
  tabla: TablaSubida | TablaBajada;
  fase: 'pre_process' | 'post_process';
}

/**
 * Runs a phase at SQL Server when the configuration puts it there. `prepare` gives the SQL its placeholders' values and
 * its parameters.
 */
export async function runPhaseAtSqlServer(
  context: SyncContext,
  db: SqlServer,
  { direccion, tabla, fase }: SqlPhase,
  prepare: (sql: string) => { sql: string; parameters?: SqlParameter[] },
): Promise<void> {
  const side: EjecutarEn = direccion === 'upload' ? 'origen' : 'destino';
  const configured = tabla[fase];
  if (!isPhaseAt(configured, direccion, side)) return;
  const { sql, parameters } = prepare(configured.sql);
  context.progress.waiting(() => `${fase} en SQL Server`);
  await recordPhase(context, { direccion, tabla: tabla.nombre, fase, ejecutadoEn: side }, async () => {
    const options = { signal: context.signal, ...defined({ parameters }) };
    // Not in a transaction of ours: not every batch may run in one, and procedures commit as they like.
    const { rowsAffected } = await db.execute(sql, options).catch((error: unknown) => {
      throw notToBeRepeated(error);
    });
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
  context.progress.waiting(() => `${fase} en el backend`);
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
