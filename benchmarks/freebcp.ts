import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { start } from '../fixtures/processes.ts';
import type { SqlTarget } from '../fixtures/sql.ts';
import { hasFreeTds } from '../fixtures/sqlserver/freetds.ts';

/** For one run of freebcp. */
const MAX_MS = 900_000;

/** Runs `freebcp` with `-c` to its end; rejects when it did not copy so many rows, or within `ms`. */
export type Freebcp = (args: string[], rows: number, ms?: number) => Promise<void>;

/** FreeTDS' `freebcp`, a C program, at `sql`; undefined where it is not installed (freetds.ts has said so, loudly). */
export async function openFreebcp(sql: SqlTarget, folder: string): Promise<Freebcp | undefined> {
  if (!hasFreeTds) return undefined;
  const settings = [`host = ${sql.host}`, `port = ${sql.port}`, 'tds version = 7.4', 'client charset = UTF-8'];
  const configuration = join(folder, 'freetds.conf');
  const encryption = sql.encrypt ? 'require' : 'off';
  await writeFile(configuration, ['[origen]', ...settings, `encryption = ${encryption}`].join('\n'));
  const login = ['-S', 'origen', '-U', sql.user, '-P', sql.password, '-D', sql.database];
  const env = { FREETDSCONF: configuration, LC_ALL: 'C.UTF-8' };
  return async (args, rows, ms = MAX_MS) => {
    const options = { env, signal: AbortSignal.timeout(ms) };
    const { code, killedBy, stdout, stderr } = await start('freebcp', [...args, '-c', ...login], options).finished;
    const copied = /(\d+) rows copied/.exec(stdout + stderr)?.[1];
    if (code === 0 && Number(copied) === rows) return;
    throw new Error(`freebcp ${args.join(' ')} ended with ${code ?? killedBy}: ${stdout}${stderr}`);
  };
}
