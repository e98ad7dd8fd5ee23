import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { createDataKey, exportDataKey, importDataKey } from '../commands/data-key.ts';
import { runTest } from '../commands/test.ts';
import { readLocalConfig, writeLocalConfig } from '../config/local.ts';
import { startWorld, type World } from '../testing/world.ts';
import { replaceMembers } from './members.ts';
import { dataKeyId, makeDataKey, SensitiveColumns } from './sensitive.ts';

/** `camposSensibles`: what leaves the tenant's machine, and what another agent of the tenant makes of it. */

const KEY = Buffer.alloc(32, 7).toString('base64');
const columns = new SensitiveColumns(KEY, ['cuit', 'Saldo']);

test('a value comes back as its JSON, digit for digit; NULL stays NULL; a value that is not encrypted stays', () => {
  for (const json of ['"20-1 ñ 🔑 \\" "', '12345678901234567.8900', 'true', '""']) {
    const sealed = columns.encrypt('cuit', json);
    expect(sealed).toMatch(/^"cs1:[0-9a-f]{8}:[A-Za-z0-9_-]+"$/);
    expect(columns.decrypt('CUIT', sealed)).toBe(json);
  }
  expect(columns.encrypt('cuit', 'null')).toBe('null');
  expect(columns.decrypt('cuit', '"cs1: en claro"')).toBe('"cs1: en claro"');
});

test('an equal value of a column is equal text; of another column, another key or another value it is not', () => {
  const sealed = columns.encrypt('cuit', '"20-1"');
  expect(columns.encrypt('CUIT', '"20-1"')).toBe(sealed);
  expect(columns.encrypt('saldo', '"20-1"').slice(14)).not.toBe(sealed.slice(14));
  expect(columns.encrypt('cuit', '"20-2"')).not.toBe(sealed);
  expect(new SensitiveColumns(makeDataKey(), ['cuit']).encrypt('cuit', '"20-1"')).not.toBe(sealed);
});

test('another key, another column and a changed bit are refused by the name of the column', () => {
  const sealed = columns.encrypt('cuit', '"20-1"');
  const other = new SensitiveColumns(makeDataKey(), ['cuit']);
  expect(() => other.decrypt('cuit', sealed)).toThrow(
    `«cuit» no se puede descifrar: lo cifró la clave de datos ${dataKeyId(KEY)}`,
  );
  expect(() => columns.decrypt('saldo', sealed)).toThrow(/«saldo».*dañado o es de otra columna/);
  const bytes = Buffer.from(sealed.slice(14, -1), 'base64url');
  for (let at = 0; at < bytes.length; at++) {
    const damaged = Buffer.from(bytes);
    damaged[at]! ^= 1;
    expect(
      () => columns.decrypt('cuit', `${sealed.slice(0, 14)}${damaged.toString('base64url')}"`),
      `byte ${at}`,
    ).toThrow();
  }
  expect(() => columns.decrypt('cuit', `${sealed.slice(0, 14)}AAAA"`)).toThrow(
    expect.objectContaining({ code: 'CAMPO_SENSIBLE_ILEGIBLE', message: expect.stringContaining('está dañado') }),
  );
});

test('only the members of the object are replaced, whatever their values hold, and all else stays byte for byte', () => {
  const seen: [string, string][] = [];
  const line = ' {"a":"x\\\\","b": 1.50 ,"c":{"a":[1,"}"]},"\\u0064":null,"":[]}';
  const done = replaceMembers(line, (name, json) => {
    seen.push([name, json]);
    return name === 'a' ? '"y"' : json;
  });
  expect(done).toBe(line.replace('"x\\\\"', '"y"'));
  expect(seen).toEqual([
    ['a', '"x\\\\"'],
    ['b', '1.50'],
    ['c', '{"a":[1,"}"]}'],
    ['d', 'null'],
    ['', '[]'],
  ]);
  for (const bad of ['', '[1]', '{"a"}', '{"a":}', '{"a":"x}', '{"a":[1}', '{"a":1']) {
    expect(() => replaceMembers(bad, (_, json) => json), bad).toThrow(SyntaxError);
  }
});

test('any object keeps its meaning', () => {
  const objects = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue());
  const run = fc.property(objects, (value) => {
    const line = JSON.stringify(value);
    const seen: Record<string, unknown> = Object.create(null);
    const same = replaceMembers(line, (name, json) => {
      seen[name] = JSON.parse(json);
      return json;
    });
    expect(same).toBe(line);
    expect(JSON.stringify(seen)).toBe(line);
  });
  fc.assert(run, { seed: 7, numRuns: 300 });
});

let world: World;
let other: string;
const { signal } = new AbortController();
const password = () => process.env.SYNC_CONFIG_PASSWORD!;
const print = () => {};
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  other = await mkdtemp(join(tmpdir(), 'ax-segundo-'));
  process.env.SYNC_DATA_KEY_PASSWORD = 'Viaje_de_la_clave_1';
  await world.execute(
    'CREATE TABLE clientes (codigo varchar(10) NOT NULL PRIMARY KEY, nombre nvarchar(50), CUIT varchar(20), saldo decimal(20,4))',
  );
  await world.execute("INSERT INTO clientes VALUES ('1', N'Uno', '20-11111111-1', 1234567890123456.7890)");
  await world.execute("INSERT INTO clientes VALUES ('2', N'Dos', '20-11111111-1', NULL)");
});
afterAll(async () => {
  delete process.env.SYNC_DATA_KEY_PASSWORD;
  await rm(other, { recursive: true, force: true });
  await world?.close();
});

const camposSensibles = ['cuit', 'saldo'];
const subida = {
  nombre: 'clientes',
  process: { query: 'SELECT codigo, nombre, CUIT, saldo FROM clientes' },
  camposSensibles,
};
const bajada = {
  nombre: 'clientes_copia',
  primaryKey: 'codigo',
  schema: {
    columns: [
      { name: 'codigo', type: 'VARCHAR(10)', nullable: false },
      { name: 'cuit', type: 'VARCHAR(20)' },
      { name: 'saldo', type: 'DECIMAL(20,4)' },
    ],
  },
  process: {
    query:
      "SELECT codigo, parametros_json->>'CUIT' AS cuit, parametros_json->'saldo' AS saldo FROM parametros_maestros WHERE tipo_campo = 'cliente'",
  },
  camposSensibles,
};
const stored = async () => {
  const { rows } = await world.backend.sql.query<{ codigo: string; parametros: Record<string, string>; xmin: string }>(
    'SELECT codigo, parametros_json AS parametros, xmin::text FROM parametros_maestros ORDER BY codigo',
  );
  return rows;
};

test('without a data key the table is not sent, the others are; test says so too', async () => {
  const abierta = { nombre: 'abiertos', process: { query: 'SELECT codigo FROM clientes' } };
  await world.setTables({ tablasSubida: [subida, abierta] });
  const { reason, log } = await world.sync();
  expect(reason).toBe('parcial');
  expect(log).toMatch(
    /ERROR clientes: «clientes» tiene camposSensibles .*\[CAMPOS_SENSIBLES_SIN_CLAVE\].*data-key create/,
  );
  expect((await stored()).every(({ parametros }) => !('CUIT' in parametros))).toBe(true);
  const lines: string[] = [];
  await runTest({ folder: world.folder, print: (line) => lines.push(line), signal });
  expect(lines.join('\n')).toMatch(/✖ Subida clientes: .*clave de datos/);
  await world.backend.sql.query('DELETE FROM parametros_maestros');
});

test('what leaves is encrypted, unchanged rows stay untouched, and what comes down is what went up', async () => {
  await createDataKey({ folder: world.folder, print });
  await world.setTables({ tablasSubida: [subida], tablasBajada: [bajada] });
  expect((await world.sync()).reason).toBe('exitoso');
  const before = await stored();
  expect(before.map(({ codigo }) => codigo)).toEqual(['1', '2']);
  const [one, two] = before;
  expect(one!.parametros).toEqual({ CUIT: expect.stringMatching(/^cs1:/), saldo: expect.stringMatching(/^cs1:/) });
  // Equal values show as equal; NULL as NULL.
  expect(two!.parametros).toEqual({ CUIT: one!.parametros.CUIT, saldo: null });
  expect(
    await world.query('SELECT codigo, cuit, CONVERT(varchar(40), saldo) AS saldo FROM clientes_copia ORDER BY codigo'),
  ).toEqual([
    { codigo: '1', cuit: '20-11111111-1', saldo: '1234567890123456.7890' },
    { codigo: '2', cuit: '20-11111111-1', saldo: null },
  ]);
  const { log } = await world.sync();
  expect(log).toContain('0 actualizadas, 2 sin cambios');
  expect((await stored()).map(({ xmin }) => xmin)).toEqual(before.map(({ xmin }) => xmin));
});

test('a second agent reads it with the key of data-key export, and not with one of its own', async () => {
  const file = join(other, 'clave.axk');
  const { dataKey, ...rest } = await readLocalConfig(world.folder, password());
  await writeLocalConfig(other, password(), rest);
  await createDataKey({ folder: other, print });
  const refused = await world.sync({ folder: other, upload: false });
  expect(refused.reason).toBe('error');
  expect(refused.log).toMatch(/ERROR clientes_copia: .*«cuit» no se puede descifrar: lo cifró la clave de datos/);

  await exportDataKey({ folder: world.folder, file, print });
  await expect(importDataKey({ folder: other, file, print })).rejects.toThrow(/este agente ya tiene otra/);
  await writeLocalConfig(other, password(), rest);
  await importDataKey({ folder: other, file, print });
  expect((await readLocalConfig(other, password())).dataKey).toBe(dataKey!);
  await world.execute('DELETE FROM clientes_copia');
  expect((await world.sync({ folder: other, upload: false })).reason).toBe('exitoso');
  expect(await world.query('SELECT cuit FROM clientes_copia')).toHaveLength(2);
});

test('a file of another password, another tenant or no key at all is refused, and nothing changes', async () => {
  const file = join(other, 'otra.axk');
  const before = await readLocalConfig(world.folder, password());
  await exportDataKey({ folder: world.folder, file, print });
  process.env.SYNC_DATA_KEY_PASSWORD = 'otra';
  await expect(importDataKey({ folder: world.folder, file, print })).rejects.toThrow(/SYNC_DATA_KEY_PASSWORD es otra/);
  process.env.SYNC_DATA_KEY_PASSWORD = 'Viaje_de_la_clave_1';
  await writeLocalConfig(other, password(), { ...before, tenant: 'otro' });
  await expect(importDataKey({ folder: other, file, print })).rejects.toThrow(/es del tenant «acme-001»/);
  await writeFile(file, 'no');
  await expect(importDataKey({ folder: world.folder, file, print })).rejects.toMatchObject({
    code: 'CLAVE_DE_DATOS_NO_IMPORTADA',
    message: expect.stringContaining('no es de data-key export'),
  });
  await expect(createDataKey({ folder: world.folder, print })).rejects.toMatchObject({ code: 'CLAVE_DE_DATOS_EXISTE' });
  const nowhere = exportDataKey({ folder: world.folder, file: join(other, 'no-hay', 'clave.axk'), print });
  await expect(nowhere).rejects.toMatchObject({ code: 'CLAVE_DE_DATOS_NO_ESCRITA' });
  const weak = join(other, 'corta.axk');
  process.env.SYNC_DATA_KEY_PASSWORD = 'corta';
  await expect(exportDataKey({ folder: world.folder, file: weak, print })).rejects.toMatchObject({
    code: 'CONTRASENA_DEBIL',
    message: expect.stringContaining('SYNC_DATA_KEY_PASSWORD'),
  });
  expect(await readdir(other)).not.toContain('corta.axk');
  delete process.env.SYNC_DATA_KEY_PASSWORD;
  const unsealed = exportDataKey({ folder: world.folder, file, print });
  await expect(unsealed).rejects.toMatchObject({ code: 'CONTRASENA_DE_TRASLADO_AUSENTE' });
  process.env.SYNC_DATA_KEY_PASSWORD = 'Viaje_de_la_clave_1';
  const { dataKey: _, ...without } = before;
  await writeLocalConfig(other, password(), without);
  await expect(exportDataKey({ folder: other, file, print })).rejects.toMatchObject({ code: 'CLAVE_DE_DATOS_AUSENTE' });
  expect(await readLocalConfig(world.folder, password())).toEqual(before);
});

test('a sensitive column that the query does not give is named, and nothing is sent', async () => {
  await world.backend.sql.query('DELETE FROM parametros_maestros');
  await world.setTables({ tablasSubida: [{ ...subida, camposSensibles: ['cuit', 'ciut'] }] });
  const { reason, log } = await world.sync();
  expect(reason).toBe('error');
  expect(log).toMatch(/no da la columna «ciut», que está en camposSensibles\. \[CAMPO_SENSIBLE_AUSENTE\]/);
  expect(await stored()).toEqual([]);
  const recorded = 'SELECT metadatos FROM sync_logs WHERE estado = $1 ORDER BY "fechaInicio" DESC LIMIT 1';
  const { rows } = await world.backend.sql.query(recorded, ['error']);
  expect(rows).toEqual([{ metadatos: { codigo: 'CAMPO_SENSIBLE_AUSENTE' } }]);
});
