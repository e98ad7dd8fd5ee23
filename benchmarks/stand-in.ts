import { parseArgs } from 'node:util';
import { makeReplayTable } from '../fixtures/sqlserver/replay.ts';
import { startSqlServer } from '../fixtures/sqlserver/server.ts';
import { createEngine } from '../fixtures/sqlserver/tsql/engine.ts';
import { columns, rows } from './rows.ts';

/**
 * The stand-in with the benchmarks' rows as a replay table: encoded to TDS once and streamed from memory, so that what is
 * measured is the agent and not the stand-in. In a process of its own, as a SQL Server would be.
 */
const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    postgres: { type: 'string' },
    password: { type: 'string' },
    rows: { type: 'string' },
    'changed-each': { type: 'string', default: '0' },
    'gone-each': { type: 'string', default: '0' },
    keyed: { type: 'boolean', default: false },
  },
});
/** Of 10 M rows; a buffer of Node cannot be much larger. */
const MAX_REPLAY_BYTES = 3 * 1024 ** 3;
const engine = await createEngine({ postgresUrl: values.postgres!, databases: ['EmpresaDB'] });
const change = { changedEach: Number(values['changed-each']), goneEach: Number(values['gone-each']) };
const replayed = rows(Number(values.rows), change);
const { keyed } = values;
const filas = makeReplayTable('filas', columns, replayed, { maxBytes: MAX_REPLAY_BYTES, keyed });
const replay = new Map([['filas', filas]]);
const server = await startSqlServer({
  engine,
  port: Number(values.port),
  logins: { sync_user: values.password! },
  encrypt: 'on',
  replay,
});
process.once('SIGTERM', async () => {
  await server.stop();
  await engine.close();
  process.exit(0);
});
