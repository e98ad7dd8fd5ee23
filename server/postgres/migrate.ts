import { join } from 'node:path';
import { runner } from 'node-pg-migrate';

/**
 * Brings the database to this version, under an advisory lock: processes that start together do it once, the others
 * wait. Returns the names of the migrations that ran.
 */
export async function migrate(databaseUrl: string, onMessage: (message: string) => void = () => {}): Promise<string[]> {
  const done = await runner({
    databaseUrl,
    dir: join(import.meta.dirname, '..', 'migrations'),
    migrationsTable: 'sync_migrations',
    direction: 'up',
    advisoryLockMode: 'wait',
    singleTransaction: true,
    log: onMessage,
  });
  return done.map(({ name }) => name);
}
