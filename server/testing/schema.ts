import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { createScratchDatabase, startPostgres } from '../../fixtures/postgres.ts';
import { migrate } from '../postgres/migrate.ts';
import { dumpSchema } from './dump-schema.ts';

/** migrations/schema.sql: what a new database is after `migrate`, for people who review a migration. */
const FILE = join(import.meta.dirname, '..', 'migrations', 'schema.sql');

const HEAD =
  '-- What the migrations make of an empty database. Written by npm run schema, compared by migrate.test.ts.\n\n';

/** Migrates a database of its own on the PostgreSQL at `postgresUrl`, as the server does, and returns its schema. */
export async function makeSchema(postgresUrl: string): Promise<string> {
  const scratch = await createScratchDatabase(postgresUrl);
  const client = new pg.Client({ connectionString: scratch.url });
  try {
    await migrate(scratch.url);
    await client.connect();
    return HEAD + (await dumpSchema(client));
  } finally {
    await client.end();
    await scratch.drop();
  }
}

export const readSchema = () => readFile(FILE, 'utf8');

/** `npm run schema`. */
if (process.argv[1] === import.meta.filename) {
  const postgres = await startPostgres({ durable: false });
  try {
    await writeFile(FILE, await makeSchema(postgres.url));
  } finally {
    await postgres.stop();
  }
}
