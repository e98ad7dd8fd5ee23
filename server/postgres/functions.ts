import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClientBase } from 'pg';
import { isOlder } from '../../protocol/agent-version.ts';

/**
 * The database's functions, a file each (migrations/functions/): CREATE OR REPLACE and, where EXECUTE is not everybody's, who may.
 * A file is run again when it has changed, which the digests in sync_functions tell.
 */
export interface FunctionFile {
  name: string;
  sql: string;
  digest: string;
}

/** Reads the functions of the folder, in the order of their names. */
export async function readFunctions(folder: string): Promise<FunctionFile[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort();
  return Promise.all(
    names.map(async (file) => {
      const sql = await readFile(join(folder, file), 'utf8');
      return { name: file.slice(0, -'.sql'.length), sql, digest: createHash('sha256').update(sql).digest('hex') };
    }),
  );
}

export interface SelectedFunctions {
  /** Names of the new and the changed ones. */
  changed: string[];
  /** Runs the files. To run them twice does no harm. */
  create(options: { checkBodies: boolean }): Promise<void>;
}

/**
 * Selects the new and the changed ones, with `all` the others too: what somebody altered is then as its file makes it. One that
 * a newer version made stays: while versions change, a process of the old one may still be started.
 */
export async function selectFunctions(
  client: ClientBase,
  files: readonly FunctionFile[],
  { all, version }: { all: boolean; version: string },
): Promise<SelectedFunctions> {
  await client.query(
    'CREATE TABLE IF NOT EXISTS sync_functions (nombre text PRIMARY KEY, digest text NOT NULL, version text NOT NULL)',
  );
  const { rows } = await client.query<{ nombre: string; digest: string; version: string }>(
    'SELECT * FROM sync_functions',
  );
  const known = new Map(rows.map((row) => [row.nombre, row]));
  const ours = files.filter(({ name }) => !isOlder(version, known.get(name)?.version ?? version));
  const changed = ours.filter(({ name, digest }) => known.get(name)?.digest !== digest);
  return {
    changed: changed.map(({ name }) => name),
    create: async ({ checkBodies }) => {
      await client.query(`SET LOCAL check_function_bodies = ${checkBodies}`);
      for (const { name, sql, digest } of all ? ours : changed) {
        await client.query(sql);
        await client.query(
          `INSERT INTO sync_functions VALUES ($1, $2, $3)
           ON CONFLICT (nombre) DO UPDATE SET digest = excluded.digest, version = excluded.version`,
          [name, digest, version],
        );
      }
    },
  };
}
