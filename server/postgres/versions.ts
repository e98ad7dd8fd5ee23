import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClientBase } from 'pg';
import { isOlder } from '../../protocol/agent-version.ts';
import { OperatorError } from '../operator-error.ts';

/**
 * Servers of two versions on one database, while one takes the other's place (SPEC.md, V8). A migration keeps the version before it
 * working, unless its first line is `-- breaking`: such a one runs while no server does, and no older one starts after it.
 */

const MIGRATION = /^\d+_.*\.sql$/;
const BREAKING = /^-- breaking\b/;

/** What a server's version cannot do on this database; the message says what to do. */
export class VersionError extends OperatorError {
  override readonly name = 'VersionError';
}

/** Returns the names of the migrations in `folder`, in their order. */
export async function listMigrations(folder: string): Promise<string[]> {
  const files = await readdir(folder);
  return files
    .filter((file) => MIGRATION.test(file))
    .map((file) => file.slice(0, -'.sql'.length))
    .sort();
}

/** @throws {VersionError} where a breaking migration has run that `version` does not know. */
export async function assertNotTooOld(client: ClientBase, version: string): Promise<void> {
  if (!(await hasTable(client, 'sync_version'))) return;
  const { rows } = await client.query<{ version: string; minima: string }>('SELECT version, minima FROM sync_version');
  const [known] = rows;
  if (known === undefined || !isOlder(version, known.minima)) return;
  throw new VersionError(
    `La base es de la versión ${known.version} y solo admite servidores desde la ${known.minima}: este es ${version}. Actualícelo.`,
  );
}

/**
 * Returns the breaking ones among the migrations that are to run. Of a database that is new all are.
 * @throws {VersionError} where there are some and a server is connected: it would fail from then on
 */
export async function readBreaking(client: ClientBase, folder: string): Promise<string[]> {
  const breaking: string[] = [];
  const applied = await readApplied(client);
  for (const name of await listMigrations(folder)) {
    if (applied.has(name)) continue;
    if (BREAKING.test(await readFile(join(folder, `${name}.sql`), 'utf8'))) breaking.push(name);
  }
  if (breaking.length === 0 || applied.size === 0) return breaking;
  const { rows } = await client.query<{ conexiones: number }>(
    `SELECT count(*)::integer AS conexiones FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'ax-sync-server'`,
  );
  const { conexiones } = rows[0]!;
  if (conexiones === 0) return breaking;
  throw new VersionError(
    `Esta versión cambia la base (${breaking.join(', ')}) de un modo que la anterior no admite, y hay ${conexiones} conexiones de ` +
      'ax-sync-server: detenga todos los servidores (y reinicie PgBouncer, si lo hay) y repita la orden.',
  );
}

/** Notes that `version` has migrated the database, and, after breaking migrations, that no older one fits it. */
export async function noteVersion(client: ClientBase, version: string, breaking: readonly string[]): Promise<void> {
  const { rows } = await client.query<{ version: string }>('SELECT version FROM sync_version');
  const [known] = rows;
  if (known !== undefined && isOlder(version, known.version)) return;
  await client.query(
    `INSERT INTO sync_version (version, minima) VALUES ($1, CASE WHEN $2 THEN $1 ELSE '0.0.0' END)
     ON CONFLICT (unica) DO UPDATE SET version = $1, minima = CASE WHEN $2 THEN $1 ELSE sync_version.minima END`,
    [version, breaking.length > 0],
  );
}

async function readApplied(client: ClientBase): Promise<Set<string>> {
  if (!(await hasTable(client, 'sync_migrations'))) return new Set();
  const { rows } = await client.query<{ name: string }>('SELECT name FROM sync_migrations');
  return new Set(rows.map(({ name }) => name));
}

async function hasTable(client: ClientBase, name: string): Promise<boolean> {
  const { rows } = await client.query<{ hay: boolean }>('SELECT to_regclass($1) IS NOT NULL AS hay', [name]);
  return rows[0]!.hay;
}
