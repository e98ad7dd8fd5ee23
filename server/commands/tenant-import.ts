import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { SyncError } from '../../protocol/errors.ts';
import { visibleLine } from '../../protocol/visible.ts';
import type { Config } from '../config.ts';
import { type Connection, inTransaction } from '../postgres/pool.ts';
import { AUDIT, findTenantTables, insertRows, settleInserted } from '../rows/whole-tenant.ts';
import { findConfiguration } from '../tenants/configurations.ts';
import { connectionPlace, mapPasswords, readConnections } from '../tenants/connections.ts';
import { readMasterKeys } from '../tenants/master-keys.ts';
import { passwordPlace } from '../tenants/passwords.ts';
import { allExitReasons, defineCommand, textOption } from './command.ts';
import { type ExportHead, FORMAT, readHead } from './tenant-export.ts';
import { CommandError, withDatabase } from './with-database.ts';

export const tenantImportCommand = defineCommand({
  name: 'import',
  description: 'Trae un tenant de otro centro, con sus claves y lo que sus agentes saben: siguen donde estaban',
  arguments: {},
  options: { file: textOption('Archivo que escribió tenant export') },
  examples: [['tenant import --file acme.ndjson', 'En una base de la misma versión']],
  exitCodes: allExitReasons,
  async run({ file }, { loadConfig, print }) {
    print(await tenantImport(loadConfig(), file));
  },
});

/** Characters of rows that are inserted in one statement; one row may be more. */
const BATCH_CHARS = 4 * 1024 * 1024;
const BATCH_ROWS = 2000;

/**
 * Brings in what `tenantExport` wrote, all of it or nothing.
 * @throws {CommandError}: the file is none or is not whole, the tenant is here already, the other database was of
 * another version, or its passwords do not open with the keys of this one
 */
export async function tenantImport(config: Config, file: string): Promise<string> {
  return withDatabase(config, (connection) => inTransaction(connection, () => bringIn(config, connection, file)));
}

async function bringIn(config: Config, connection: Connection, file: string): Promise<string> {
  const tables = new Set((await findTenantTables(connection)).map(({ tabla }) => tabla));
  const digest = createHash('sha256');
  let head: ExportHead | undefined;
  let tail: { filas: number; sha256: string } | undefined;
  let rows = 0;
  let batch = { tabla: '', filas: [] as string[], chars: 0 };
  const flush = async () => {
    const { tabla, filas } = batch;
    batch = { tabla: '', filas: [], chars: 0 };
    if (filas.length === 0 || tabla === AUDIT) return;
    if ((await insertRows(connection, head!.tenantId, tabla, filas)) < filas.length) {
      throw new CommandError(`${file} tiene filas de otro tenant en ${tabla}`);
    }
  };
  for await (const line of linesOf(file)) {
    if (tail !== undefined) throw new CommandError(`${file} sigue después de su última línea`);
    if (head === undefined) head = await checkHead(connection, file, line);
    else {
      const row = /^\{"tabla":"(\w+)","fila":(.*)\}$/s.exec(line);
      if (row === null) {
        tail = parse(file, line);
        continue;
      }
      const [, tabla, fila] = row as unknown as [string, string, string];
      if (!tables.has(tabla)) throw new CommandError(`${file} tiene filas de ${tabla}, que aquí no hay`);
      if (tabla !== batch.tabla || batch.filas.length >= BATCH_ROWS || batch.chars > BATCH_CHARS) await flush();
      batch.tabla = tabla;
      batch.filas.push(fila);
      batch.chars += fila.length;
      rows += 1;
    }
    digest.update(`${line}\n`);
  }
  if (head === undefined || tail?.filas !== rows || tail.sha256 !== digest.digest('hex')) {
    throw new CommandError(`${file} no está entero, o se cambió`);
  }
  await flush();
  await settleInserted(connection, head.tenantId, head.vigilancia);
  await assertOpens(config, connection, head.tenantId);
  return `${rows} filas de «${visibleLine(head.tenantId)}». Lo que anotó la auditoría del otro centro queda en el archivo.`;
}

/** By \n alone: a line may hold what else counts as the end of one (U+2028). What comes without one at the end is no line. */
async function* linesOf(file: string): AsyncGenerator<string> {
  const pieces: string[] = [];
  for await (const text of createReadStream(file, { encoding: 'utf8' }) as AsyncIterable<string>) {
    const [first, ...others] = text.split('\n');
    pieces.push(first!);
    for (const next of others) {
      yield pieces.splice(0).join('');
      pieces.push(next);
    }
  }
}

async function checkHead(connection: Connection, file: string, line: string): Promise<ExportHead> {
  const head = parse<ExportHead>(file, line);
  if (head.formato !== FORMAT) throw new CommandError(`${file} no lo escribió tenant export`);
  const here = await readHead(connection, head.tenantId);
  if (head.migraciones.join() !== here.migraciones.join()) {
    throw new CommandError(`${file} es de una base de otra versión: lleve las dos a la misma (ax-sync-server migrate)`);
  }
  if ((await findConfiguration(connection, head.tenantId)) !== undefined) {
    throw new CommandError(`el tenant «${visibleLine(head.tenantId)}» ya existe`);
  }
  return head;
}

function parse<T>(file: string, line: string): T {
  try {
    return JSON.parse(line) as T;
  } catch {
    throw new CommandError(`${file} no está entero, o se cambió`);
  }
}

/** @throws {CommandError} unless the passwords of SQL Server open with the master keys of this centre */
async function assertOpens(config: Config, connection: Connection, tenant: string): Promise<void> {
  const keys = readMasterKeys(config);
  const configuration = await findConfiguration(connection, tenant);
  if (configuration === undefined)
    throw new CommandError(`el archivo no tiene la configuración de «${visibleLine(tenant)}»`);
  try {
    keys.open(passwordPlace(tenant), configuration.sqlServerPassword);
    mapPasswords(readConnections(configuration), (stored, name) => keys.open(connectionPlace(tenant, name), stored));
  } catch (error) {
    if (!(error instanceof SyncError)) throw error;
    throw new CommandError(
      'las contraseñas de SQL Server del archivo no se abren aquí: añada la SYNC_MASTER_KEY del otro centro a SYNC_MASTER_KEY_PREVIOUS',
    );
  }
}
