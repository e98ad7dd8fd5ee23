import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { createScratchDatabase, type ScratchDatabase } from '../fixtures/postgres.ts';
import { API_PREFIX, headers } from '../protocol/constants.ts';
import type { ConfigResponse } from '../protocol/tenant-config/config.ts';
import { buildApp } from './app.ts';
import { configSet } from './commands/config-set.ts';
import { keyCreate } from './commands/key-create.ts';
import { loadConfig } from './config.ts';
import { migrate } from './postgres/migrate.ts';

/** A database whose rows have the keys that codigo gave them (sync_claves_anteriores). */

let scratch: ScratchDatabase;
let sql: pg.Client;
let folder: string;
beforeAll(async () => {
  scratch = await createScratchDatabase(inject('postgresUrl'));
  sql = new pg.Client({ connectionString: scratch.url });
  await sql.connect();
  folder = await mkdtemp(join(tmpdir(), 'ax-former-'));
});
afterAll(async () => {
  await sql?.end();
  await scratch?.drop();
  await rm(folder, { recursive: true, force: true });
});

const process = { query: 'SELECT 1' };
const tables = {
  tablasSubida: [
    { nombre: 'vista_clientes', primaryKey: ['empresa', 'codigo'], process },
    { nombre: 'vista_proveedores', primaryKey: 'id', process },
    { nombre: 'vista_articulos', primaryKey: ['empresa', 'codigo'], process },
    { nombre: 'vista_productos', primaryKey: 'codigo', process },
  ],
};

async function readKeys(tipo: string): Promise<string[]> {
  const query = 'SELECT codigo FROM parametros_maestros WHERE tipo_campo = $1 ORDER BY codigo';
  return (await sql.query(query, [tipo])).rows.map(({ codigo }) => codigo);
}

test('tables with a former key keep it, and serve names them; config set --claves-nuevas ends it', async () => {
  await migrate(scratch.url);
  await sql.query(
    `INSERT INTO sync_configurations ("tenantId", "sqlServerHost", "sqlServerDatabase", "sqlServerUser", "sqlServerPassword",
       "configuracionTablas") VALUES ('acme-001', 'h', 'd', 'u', 'p', $1)`,
    [JSON.stringify(tables)],
  );
  await sql.query(
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, parametros_json) VALUES
       ('acme-001', 'cliente', 'A1', '{"empresa": 1}'), ('acme-001', 'proveedor', 'P7', '{"id": 7}'), ('acme-001', 'producto', 'x', '{}')`,
  );
  await sql.query(
    `INSERT INTO sync_claves_anteriores VALUES
       ('acme-001', 'vista_clientes', '["empresa", "codigo"]'), ('acme-001', 'vista_proveedores', '"id"')`,
  );

  const config = { ...loadConfig({ DATABASE_URL: scratch.url, LOG_LEVEL: 'warn' }) };
  const key = /sk_live_\S+/.exec(await keyCreate(config, 'acme-001', { nombre: undefined, dias: undefined }))![0];
  const logged: string[] = [];
  const app = await buildApp(config, { write: (line) => void logged.push(line) });
  try {
    expect(logged.join('')).toMatch(/acme-001: vista_clientes.*acme-001: vista_proveedores.*claves-nuevas/s);
    expect(logged.join('')).not.toContain('vista_articulos');
    const asked = { [headers.tenant]: 'acme-001', [headers.apiKey]: key };
    const upload = async (tabla: string, row: object) => {
      const payload = JSON.stringify(row);
      const url = `${API_PREFIX}/upload/acme-001?tabla=${tabla}`;
      const sent = { ...asked, 'content-type': 'application/x-ndjson' };
      return (await app.inject({ method: 'POST', url, headers: sent, payload })).json();
    };
    const fetchFormer = async () =>
      (await app.inject({ url: `${API_PREFIX}/config/acme-001`, headers: asked })).json<ConfigResponse>()
        .clavesAnteriores;

    expect(await upload('vista_clientes', { empresa: 1, codigo: 'A1' })).toMatchObject({ registrosSinCambios: 1 });
    expect(await upload('vista_proveedores', { id: 7, codigo: 'P7' })).toMatchObject({ registrosSinCambios: 1 });
    // A table that had no rows has no entry.
    expect(await upload('vista_articulos', { empresa: 1, codigo: 'A1' })).toMatchObject({ registrosInsertados: 1 });
    expect(await readKeys('articulo')).toEqual(['1|A1']);
    expect(await fetchFormer()).toEqual(['vista_clientes', 'vista_proveedores']);

    const file = join(folder, 'tablas.json');
    await writeFile(file, JSON.stringify(tables));
    const again = await configSet(config, 'acme-001', { tables: file });
    expect(again).toMatch(
      /«vista_clientes»: conserva la clave de antes.*--claves-nuevas, la clave son empresa, codigo/,
    );
    expect(again).toMatch(/«vista_articulos»: la clave son empresa, codigo\./);
    expect(again).not.toContain('vista_productos');
    expect(await upload('vista_clientes', { empresa: 1, codigo: 'A1' })).toMatchObject({ registrosSinCambios: 1 });

    await sql.query(`INSERT INTO sync_commits ("tenantId", id, tabla, agente) VALUES
      ('acme-001', 'g1', 'vista_clientes', ''), ('acme-001', 'g2', 'vista_productos', '')`);
    const changed = await configSet(config, 'acme-001', { tables: file }, { newKeys: true });
    expect(changed).toMatch(/«vista_clientes»: desde ahora la clave son empresa, codigo\. Sube entera.*bajas/);
    expect(await upload('vista_clientes', { empresa: 1, codigo: 'A1' })).toMatchObject({ registrosInsertados: 1 });
    expect(await readKeys('cliente')).toEqual(['1|A1', 'A1']);
    expect(await upload('vista_proveedores', { id: 7, codigo: 'P7' })).toMatchObject({ code: 'CLAVE_AMBIGUA' });
    expect(await fetchFormer()).toBeUndefined();
    // Agents do not know their mark any more, and send the table from the beginning.
    const { rows } = await sql.query(`SELECT id FROM sync_commits WHERE id IN ('g1', 'g2')`);
    expect(rows).toEqual([{ id: 'g2' }]);
  } finally {
    await app.close();
  }
});
