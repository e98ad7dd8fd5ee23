import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { visibleLine } from '../../protocol/visible.ts';
import type { Config } from '../config.ts';
import { type Connection, inTransaction } from '../postgres/pool.ts';
import { readTenant } from '../rows/whole-tenant.ts';
import { findConfiguration } from '../tenants/configurations.ts';
import { allExitReasons, defineCommand, tenantOption, textOption } from './command.ts';
import { CommandError, withDatabase } from './with-database.ts';

export const tenantExportCommand = defineCommand({
  name: 'export',
  description: 'Escribe en un archivo (NDJSON) todo lo que hay de un tenant, para guardarlo o llevarlo a otro centro',
  arguments: {},
  options: { tenant: tenantOption, file: textOption('Archivo que se escribe') },
  examples: [['tenant export --tenant acme-corp-001 --file acme.ndjson', 'Después de tenant suspend, para mudarlo']],
  exitCodes: allExitReasons,
  async run({ tenant, file }, { loadConfig, print }) {
    print(await tenantExport(loadConfig(), tenant, file));
  },
});

export const FORMAT = 'ax-sync-tenant/1';

/** The first line: what the file is, and what the rows of it stand on. */
export interface ExportHead {
  formato: string;
  tenantId: string;
  migraciones: string[];
  vigilancia: string | null;
}

export async function readHead(connection: Connection, tenantId: string): Promise<ExportHead> {
  const { rows } = await connection.query<Omit<ExportHead, 'formato' | 'tenantId'>>(
    `SELECT sync_vigilancia() AS vigilancia, (SELECT array_agg(name::text ORDER BY name) FROM sync_migrations) AS migraciones`,
  );
  return { formato: FORMAT, tenantId, ...rows[0]! };
}

/**
 * Writes one state of a tenant: a head, a line for each row, and a last line with their number and the SHA-256 of all before it. The file
 * is there when it is whole, and only its owner may read it: it holds the hashes of keys, and passwords as the database has them.
 */
export async function tenantExport(config: Config, tenant: string, file: string): Promise<string> {
  let rows = 0;
  async function* lines(connection: Connection): AsyncGenerator<string> {
    const digest = createHash('sha256');
    const line = (text: string) => {
      digest.update(text);
      return text;
    };
    yield line(`${JSON.stringify(await readHead(connection, tenant))}\n`);
    for await (const [tabla, fila] of readTenant(connection, tenant)) {
      rows += 1;
      yield line(`{"tabla":${JSON.stringify(tabla)},"fila":${fila}}\n`);
    }
    yield `${JSON.stringify({ filas: rows, sha256: digest.digest('hex') })}\n`;
  }
  const partial = `${file}.parcial`;
  try {
    await withDatabase(config, async (connection) => {
      if ((await findConfiguration(connection, tenant)) === undefined) {
        throw new CommandError(`el tenant «${visibleLine(tenant)}» no existe`);
      }
      await rm(partial, { force: true });
      const sink = createWriteStream(partial, { mode: 0o600, flush: true });
      const write = () => pipeline(Readable.from(lines(connection)), sink);
      await inTransaction(connection, write, 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    });
    await rename(partial, file);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
  return `${rows} filas de «${visibleLine(tenant)}» en ${file}. Guárdelo como una contraseña.`;
}
