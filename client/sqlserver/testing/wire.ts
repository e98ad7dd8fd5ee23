import type { Column, SqlValue } from '../../../fixtures/sqlserver/engine.ts';
import { startSqlServer } from '../../../fixtures/sqlserver/server.ts';
import { type Answer, CannedEngine } from '../../../fixtures/sqlserver/tds/canned-engine.ts';
import type { SqlServerSettings } from '../sql-server.ts';

/** The stand-in's wire before an engine that answers what the test says. */
export interface RunningWire {
  engine: CannedEngine;
  settings: SqlServerSettings;
  stop(): Promise<void>;
}

/**
 * Starts the stand-in's wire. `tls` costs a key pair; and under Bun, where it runs beside the client, it knows no
 * backpressure.
 */
export async function startWire(answer: Answer, { tls = false } = {}): Promise<RunningWire> {
  const engine = new CannedEngine(answer);
  const { port, stop } = await startSqlServer({ engine, logins: { sa: 'Clave-1' }, encrypt: tls ? 'on' : 'off' });
  return {
    engine,
    stop,
    settings: {
      host: '127.0.0.1',
      port,
      database: 'pruebas',
      user: 'sa',
      password: 'Clave-1',
      encrypt: tls,
      trustServerCertificate: true,
    },
  };
}

/** Answers one result set. */
export function answerRows(columns: Column[], rows: Iterable<SqlValue[]>): Answer {
  return async (_sql, _parameters, out, signal) => {
    await out.columns(columns);
    let count = 0;
    for (const row of rows) {
      if (signal.aborted) return;
      await out.row(row);
      count += 1;
    }
    await out.statementDone(count, true);
  };
}
