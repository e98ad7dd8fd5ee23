import { type Fase, isPhaseAt } from '../../protocol/tenant-config/config.ts';
import { isDatabaseError, translateSqlError } from '../postgres/errors.ts';
import { type Connection, doNotReuse } from '../postgres/pool.ts';
import { type Statement, splitStatements } from '../postgres/statements.ts';
import { cleanSession, commitDurably, setTenant, setTimeouts } from '../postgres/tenant.ts';
import { writeAsUpload } from '../rows/ledgers.ts';
import { insertLogs } from '../tenants/logs.ts';
import { inSpan } from '../tracing/spans.ts';
import { logEntry, logOwner, sideOf } from './log-entries.ts';
import type { Transfer } from './transfer.ts';

/** Phases of a tenant's configuration that run at PostgreSQL. */

export interface PhaseTable {
  nombre: string;
  pre_process?: Fase;
  post_process?: Fase;
}

/**
 * Runs the phase in the transfer's transaction as the role ax_sync_tenant, which sees only the tenant's rows, and logs
 * it in the same transaction. Returns the rows that its last statement touched; undefined when it is not configured at
 * PostgreSQL.
 * Its statements are SELECT, INSERT, UPDATE, DELETE or MERGE, each given to PostgreSQL by itself. What they did to the
 * session is undone after each, and with it what the transaction had set for itself. `writes`: the tipo_campo of the
 * upload whose phase it is, whose rows are its own.
 * @throws {SyncError} SQL_FALLO, with PostgreSQL's own message
 */
export async function runPhase(
  transfer: Transfer,
  tabla: PhaseTable,
  name: 'pre_process' | 'post_process',
  { writes }: { writes?: string } = {},
): Promise<number | undefined> {
  const { configuration, direccion } = transfer;
  const phase = tabla[name];
  if (!isPhaseAt(phase, direccion, sideOf[direccion])) return undefined;
  const place = { tenant: configuration.tenantId, tabla: tabla.nombre };
  const run = () => runStatements(transfer, { tabla: tabla.nombre, name, sql: phase.sql, writes });
  return inSpan(name, place, run, (filas) => filas);
}

async function runStatements(
  { connection, context: { config }, configuration, direccion }: Transfer,
  {
    tabla,
    name,
    sql,
    writes,
  }: { tabla: string; name: 'pre_process' | 'post_process'; sql: string; writes: string | undefined },
): Promise<number> {
  const started = new Date();
  const deadline = performance.now() + config.SQL_TIMEOUT_MS;
  let filas = 0;
  for (const statement of splitStatements(sql)) {
    try {
      await setTenant(connection, configuration.tenantId);
      if (writes !== undefined) await writeAsUpload(connection, writes);
      await setTimeouts(connection, {
        statementMs: Math.max(1, deadline - performance.now()),
        lockMs: config.LOCK_TIMEOUT_MS,
      });
      await assertRowStatement(connection, statement);
      filas = await execute(connection, statement);
      await cleanSession(connection);
    } catch (error) {
      // Locks of the session outlive the transaction that is rolled back now.
      doNotReuse(connection);
      throw translateSqlError(error, { tabla, fase: name });
    }
  }
  await setTimeouts(connection, { lockMs: config.LOCK_TIMEOUT_MS });
  await commitDurably(connection);
  await insertLogs(connection, logOwner(configuration), [
    logEntry(direccion, tabla, name, started, {
      registrosAfectados: filas,
      mensaje: `${name} ejecutado en PostgreSQL`,
    }),
  ]);
  return filas;
}

const PREPARE = 'PREPARE sync_sentencia AS ';

/**
 * Throws unless PostgreSQL reads the text as one statement that may be prepared, which are those that read and write rows
 * and no others: no SET, no DO, no DDL, no COPY, no end of the transaction. Nothing runs.
 */
async function assertRowStatement(connection: Connection, { sql, offset }: Statement): Promise<void> {
  try {
    // The extended protocol takes one statement only.
    await connection.query({ text: PREPARE + sql, queryMode: 'extended' } as { text: string });
  } catch (error) {
    if (isDatabaseError(error)) {
      if (error.position !== undefined) error.position = String(Number(error.position) - PREPARE.length + offset);
      if (/^(42601|26000)$/.test(error.code)) {
        error.message += '; una fase en PostgreSQL solo admite SELECT, INSERT, UPDATE, DELETE y MERGE';
      }
    }
    throw error;
  }
  await connection.query('DEALLOCATE sync_sentencia');
}

async function execute(connection: Connection, { sql, offset }: Statement): Promise<number> {
  try {
    const { rows } = await connection.query<{ filas: number }>('SELECT sync_ejecutar($1)::integer AS filas', [sql]);
    return rows[0]?.filas ?? 0;
  } catch (error) {
    if (isDatabaseError(error) && error.internalPosition !== undefined) {
      error.internalPosition = String(Number(error.internalPosition) + offset);
    }
    throw error;
  }
}
