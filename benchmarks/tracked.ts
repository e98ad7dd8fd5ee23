import { cpus } from 'node:os';
import { Readable } from 'node:stream';
import { findChanged, readTrackingState, sinceParameter } from '../client/sqlserver/read/change-tracking.ts';
import { readVersions } from '../client/sqlserver/session/versions.ts';
import { type SqlParameter, type SqlServer, withSqlServer } from '../client/sqlserver/sql-server.ts';
import { type BulkColumn, createTableSql } from '../client/sqlserver/tables/ddl.ts';
import { changedQuery, finishTracking, resolveBaseTables } from '../client/sync/upload/change-tracking.ts';
import { boundedQuery, planVersions, versionParameters } from '../client/sync/upload/rowversion.ts';
import { startPostgres } from '../fixtures/postgres.ts';
import { openSqlServer } from '../fixtures/sql-server.ts';
import type { SqlTypeSpec } from '../protocol/rows/sql-types.ts';
import type { TablaSubida } from '../protocol/tenant-config/config.ts';
import { columns } from './rows.ts';
import { type Aim, printAims, releases, runBenchmark } from './run.ts';
import { linesOf } from './source.ts';

/**
 * `npm run bench:tracked [-- rows]`: what the agent reads where SQL Server numbers the changes (`cambios: "rowversion"` and
 * `"seguimiento"`), 1 % of the rows changed, beside a whole reading of the same table in the same session. Everything that the agent
 * asks is counted: bounds, which tables changed, the rows, the keys that are gone, and the check behind them. The table is a real one of
 * the stand-in, or of the server that `SQLSERVER_URL` names.
 */
const { signal } = new AbortController();
const names = columns.map(({ name }) => name);
const query = `SELECT ${names.join(', ')}, rv FROM filas`;

if (import.meta.main) printAims(await measureTracked(Number(process.argv[2] ?? 300_000)));

export function measureTracked(rows: number): Promise<Aim[]> {
  return runBenchmark(async () => {
    const postgres = await startPostgres();
    releases.push(postgres.stop);
    const { target, stop } = await openSqlServer(postgres.url, { runs: 'apart' });
    releases.push(stop);
    return withSqlServer({ ...target, trustServerCertificate: true }, { signal }, (db) => measure(db, rows));
  });
}

async function measure(db: SqlServer, count: number): Promise<Aim[]> {
  await makeTable(db, count);
  // The first reading warms caches up.
  await read(db, query, []);
  const whole = await timed(() => read(db, query, []));
  const { hasta } = await readVersions(db, signal);
  const { actual } = await readTrackingState(db, ['dbo.filas'], signal);
  await db.execute(`UPDATE filas SET ${names.at(-1)} = ${names.at(-1)} WHERE codigo LIKE '%00'`, { signal });
  const byVersion = await timed(() => readByVersion(db, hasta));
  const byTracking = await timed(() => readByTracking(db, actual!));
  const idle = await timed(async () => {
    const now = (await readTrackingState(db, ['dbo.filas'], signal)).actual!;
    return (await findChanged(db, ['dbo.filas'], now, signal)).length;
  });
  const lines = {
    'whole reading': whole,
    rowversion: byVersion,
    seguimiento: byTracking,
    'seguimiento, nothing changed': idle,
  };
  console.log(
    `\n${cpus()[0]?.model}, ${cpus().length} cores; ${count} rows\n\n| reading | rows | s | × whole |\n|---|---:|---:|---:|`,
  );
  for (const [what, { rows, seconds }] of Object.entries(lines)) {
    console.log(`| ${what} | ${rows} | ${seconds.toFixed(2)} | ${(seconds / whole.seconds).toFixed(3)} |`);
  }
  return [
    { what: 'rowversion, 1 % changed, × a whole reading', value: byVersion.seconds / whole.seconds, atMost: 0.2 },
    { what: 'seguimiento, 1 % changed, × a whole reading', value: byTracking.seconds / whole.seconds, atMost: 0.2 },
  ];
}

async function makeTable(db: SqlServer, count: number): Promise<void> {
  const types: BulkColumn[] = columns.map(({ name, type, nullable }) => ({
    name,
    type: type as SqlTypeSpec,
    nullable,
  }));
  const create = createTableSql('filas', types, ['codigo']);
  await db.execute(create.replace(/\)$/, ', rv rowversion)'), { signal });
  await db.bulkLoad('filas', types, Readable.from(linesOf(count)), { signal });
  await db.execute('CREATE INDEX IX_filas_rv ON filas (rv)', { signal });
  await db.execute('ALTER DATABASE CURRENT SET CHANGE_TRACKING = ON ALTER TABLE filas ENABLE CHANGE_TRACKING', {
    signal,
  });
}

async function timed(run: () => Promise<number>): Promise<{ rows: number; seconds: number }> {
  const begin = performance.now();
  const rows = await run();
  return { rows, seconds: (performance.now() - begin) / 1000 };
}

async function read(db: SqlServer, sql: string, parameters: readonly SqlParameter[]): Promise<number> {
  let rows = 0;
  for await (const block of db.readRows(sql, { parameters, signal })) rows += block.rows;
  return rows;
}

function tabla(more: Partial<TablaSubida>): TablaSubida {
  return { nombre: 'filas', process: { query }, ...more };
}

async function readByVersion(db: SqlServer, version: string): Promise<number> {
  const one = tabla({ cambios: 'rowversion', columna: 'rv' });
  const { versiones } = planVersions({ version }, await readVersions(db, signal), '2026-01-01T00:00:00', false);
  const sql = boundedQuery(one, false);
  return read(db, sql, versionParameters(sql, versiones, false));
}

async function readByTracking(db: SqlServer, desde: string): Promise<number> {
  const one = tabla({ cambios: 'seguimiento', seguimiento: [{ tabla: 'dbo.filas' }] });
  const { actual } = await readTrackingState(db, ['dbo.filas'], signal);
  const cambiadas = await findChanged(db, ['dbo.filas'], desde, signal);
  const head = { desde, hasta: actual!, cambiadas, snapshot: false };
  const bases = await resolveBaseTables(db, one, signal);
  const rows = await read(db, changedQuery(one, bases, head)!, [sinceParameter(desde)]);
  await finishTracking(db, one, bases, { head, rows }, signal);
  return rows;
}
