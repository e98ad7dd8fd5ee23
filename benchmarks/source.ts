import { Readable } from 'node:stream';
import { withSqlServer } from '../client/sqlserver/sql-server.ts';
import { type BulkColumn, createTableSql } from '../client/sqlserver/tables/ddl.ts';
import { findFreePort } from '../fixtures/postgres.ts';
import { startNode, waitUntil } from '../fixtures/processes.ts';
import { runSql, type SqlTarget } from '../fixtures/sql.ts';
import { openSqlServer } from '../fixtures/sql-server.ts';
import type { SqlTypeSpec } from '../protocol/rows/sql-types.ts';
import { type Change, columns, lineOf } from './rows.ts';

/** The rows as NDJSON. */
export function* linesOf(count: number): Generator<Buffer> {
  for (let n = 0; n < count; n += 1000) {
    let text = '';
    for (let at = n; at < Math.min(n + 1000, count); at++) text += lineOf(at);
    yield Buffer.from(text);
  }
}

export interface Source {
  sql: SqlTarget;
  /** What follows FROM. */
  table: string;
  /** The stand-in's process; undefined where SQL Server is a real one. */
  pid: number | undefined;
  stop(): Promise<void>;
}

/** The rows in SQL Server: those of a replay table (`keyed`: which finds them by `codigo`, too), or of a real table where `SQLSERVER_URL` names a server. */
export async function openSource(
  postgresUrl: string,
  count: number,
  { keyed = false }: { keyed?: boolean } = {},
): Promise<Source> {
  if ((process.env.SQLSERVER_URL ?? '') === '') {
    return startStandIn(postgresUrl, count, { keyed });
  }
  const { target, stop } = await openSqlServer(postgresUrl, { runs: 'apart' });
  const types: BulkColumn[] = columns.map(({ name, type, nullable }) => ({
    name,
    type: type as SqlTypeSpec,
    nullable,
  }));
  const settings = { ...target, trustServerCertificate: true };
  const signal = new AbortController().signal;
  await withSqlServer(settings, { signal }, async (db) => {
    await db.execute(createTableSql('filas', types, ['codigo']));
    await db.bulkLoad('filas', types, Readable.from(linesOf(count)), { signal });
  });
  return { sql: target, table: 'filas', pid: undefined, stop };
}

/** The same rows after a change, at the same port: `source` is stopped. The stand-in alone does this. */
export async function changeSource(
  postgresUrl: string,
  source: Source,
  count: number,
  change: Change,
): Promise<Source> {
  await source.stop();
  return startStandIn(postgresUrl, count, { port: source.sql.port, change });
}

async function startStandIn(
  postgresUrl: string,
  count: number,
  { port, change, keyed = false }: { port?: number; change?: Change; keyed?: boolean } = {},
): Promise<Source> {
  port ??= await findFreePort();
  const args = ['--port', String(port), '--postgres', postgresUrl, '--password', 'bench', '--rows', String(count)];
  if (keyed) args.push('--keyed');
  if (change !== undefined) {
    args.push('--changed-each', String(change.changedEach), '--gone-each', String(change.goneEach));
  }
  const standIn = startNode('benchmarks/stand-in.ts', args);
  const target = {
    host: '127.0.0.1',
    port,
    database: 'EmpresaDB',
    user: 'sync_user',
    password: 'bench',
    encrypt: true,
  };
  await waitUntil(async () => (await runSql(target, 'SELECT 1 AS uno')).length === 1, standIn, 600_000);
  return { sql: target, table: 'replay.filas', pid: standIn.child.pid, stop: standIn.stop };
}
