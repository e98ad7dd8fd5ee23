import { createCipheriv, createHmac, hkdfSync } from 'node:crypto';
import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { runApprove } from '../commands/approve.ts';
import { createDataKey, exportDataKey, importDataKey } from '../commands/data-key.ts';
import { runTest } from '../commands/test.ts';
import { readLocalConfig, writeLocalConfig } from '../config/local.ts';
import { startWorld, type World } from '../testing/world.ts';
import { dataKeyId, makeDataKey, SensitiveColumns } from './field-encryption.ts';
import { replaceMembers } from './members.ts';

/** `camposSensibles`: what leaves the tenant's machine, and what another agent of the tenant makes of it. */

/** As `cs1:` was made. */
function encryptAsBefore(dataKey: string, column: string, json: string): string {
  const derive = (info: string) =>
    Buffer.from(hkdfSync('sha256', Buffer.from(dataKey, 'base64'), '', `ax-sync camposSensibles ${info}`, 32));
  const iv = createHmac('sha256', derive('iv')).update(`${column}\0${json}`).digest().subarray(0, 16);
  const body = createCipheriv('aes-256-ctr', derive('cipher'), iv).update(json);
  return `"cs1:${dataKeyId(dataKey)}:${Buffer.concat([iv, body]).toString('base64url')}"`;
}

const KEY = Buffer.alloc(32, 7).toString('base64');
const columns = new SensitiveColumns(KEY, ['cuit', 'Saldo']);

test('a value comes back as its JSON, digit for digit; NULL stays NULL; a value that is not encrypted stays', () => {
  for (const json of ['"20-1 ñ 🔑 \\" "', '"   "', '12345678901234567.8900', 'true', '""', `"${'x'.repeat(500)}"`]) {
    const sealed = columns.encrypt('cliente', 'cuit', json);
    expect(sealed).toMatch(/^"cs2:[0-9a-f]{8}:[A-Za-z0-9_-]+"$/);
    expect(columns.decrypt('CUIT', sealed)).toEqual({ json, sealed: { origin: { tipoCampo: 'cliente' } } });
  }
  expect(columns.encrypt('cliente', 'cuit', 'null')).toBe('null');
  expect(columns.decrypt('cuit', '"cs2: en claro"')).toEqual({ json: '"cs2: en claro"' });
});

test('what an earlier version encrypted opens, without a word on its table; another column is refused as before', () => {
  const cuit = '"cs1:fadec367:wznIIluIY2Ix5tE5wuG0NxamC0LUjkM7ntBMYXow_Ipthg"';
  const saldo = '"cs1:fadec367:_obcBB9j-bYPKTfjnPzmpJTX9IlQ9T68unSJzUZXlQxjOe-fmvo"';
  expect(columns.decrypt('cuit', cuit)).toEqual({ json: '"20-1 ñ 🔑 \\" "', sealed: { origin: undefined } });
  expect(columns.decrypt('SALDO', saldo).json).toBe('12345678901234567.8900');
  expect(() => columns.decrypt('saldo', cuit)).toThrow(/«saldo».*dañado o es de otra columna/);
});

test('an equal value of a column is equal text; of another table, column, key or value it is not', () => {
  const sealed = columns.encrypt('cliente', 'cuit', '"20-1"');
  expect(columns.encrypt('cliente', 'CUIT', '"20-1"')).toBe(sealed);
  expect(columns.encrypt('proveedor', 'cuit', '"20-1"').slice(14, 40)).not.toBe(sealed.slice(14, 40));
  expect(columns.encrypt('cliente', 'saldo', '"20-1"').slice(14, 40)).not.toBe(sealed.slice(14, 40));
  expect(columns.encrypt('cliente', 'cuit', '"20-2"')).not.toBe(sealed);
  expect(new SensitiveColumns(makeDataKey(), ['cuit']).encrypt('cliente', 'cuit', '"20-1"')).not.toBe(sealed);
});

test('the length of a text does not tell a boolean, a digit or a short word', () => {
  const lengths = (values: string[]) =>
    new Set(values.map((json) => columns.encrypt('tipo_de_nombre_largo', 'cuit', json).length));
  for (let more = 0; more < 40; more++) {
    // Whatever the length of what stands before the value.
    const column = 'c'.repeat(more + 1);
    expect(columns.encrypt('t', column, 'true').length).toBe(columns.encrypt('t', column, 'false').length);
  }
  expect(lengths(['1', '-1.50', 'true', '""', `"${'x'.repeat(30)}"`]).size).toBe(1);
  expect(lengths(['1', `"${'x'.repeat(31)}"`]).size).toBe(2);
});

test('another key, another column and a changed bit are refused by the name of the column', () => {
  const sealed = columns.encrypt('cliente', 'cuit', '"20-1"');
  const other = new SensitiveColumns(makeDataKey(), ['cuit']);
  expect(() => other.decrypt('cuit', sealed)).toThrow(
    `«cuit» no se puede descifrar: lo cifró la clave de datos ${dataKeyId(KEY)}`,
  );
  expect(() => columns.decrypt('saldo', sealed)).toThrow(/«saldo».*es de otra columna, «cuit» de «cliente»/);
  const bytes = Buffer.from(sealed.slice(14, -1), 'base64url');
  for (let at = 0; at < bytes.length; at++) {
    const damaged = Buffer.from(bytes);
    damaged[at]! ^= 1;
    expect(
      () => columns.decrypt('cuit', `${sealed.slice(0, 14)}${damaged.toString('base64url')}"`),
      `byte ${at}`,
    ).toThrow(/está dañado/);
  }
  // The text of one version under the name of the other.
  expect(() => columns.decrypt('cuit', sealed.replace('cs2', 'cs1'))).toThrow(/está dañado/);
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
// Tables change their columns from one test to the next; here that is no matter.
beforeEach(() => world.backend.sql.query('DELETE FROM sync_esquemas'));
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
/** A person at this agent approves what the backend says now. */
const approve = async (forgetsOrigins = false): Promise<string> => {
  const lines: string[] = [];
  const options = { folder: world.folder, print: (line: string) => lines.push(line), signal };
  await runApprove({ ...options, huella: undefined });
  const huella = /huella ([0-9a-f]{16})/.exec(lines.join('\n'))![1]!;
  await runApprove({ ...options, huella, forgetsOrigins });
  return lines.join('\n');
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
  const refused = await world.sync();
  expect(refused.reason).toBe('parcial');
  expect(refused.log).toMatch(
    /ERROR clientes_copia: .*pasaría a descifrar «cuit», «saldo».*\[CAMPOS_SENSIBLES_CAMBIADOS\].*approve/,
  );
  expect(await approve()).toContain('bajada clientes_copia, camposSensibles (nuevo):\n  + cuit\n  + saldo');
  expect((await world.sync()).reason).toBe('exitoso');
  const before = await stored();
  expect(before.map(({ codigo }) => codigo)).toEqual(['1', '2']);
  const [one, two] = before;
  expect(one!.parametros).toEqual({ CUIT: expect.stringMatching(/^cs2:/), saldo: expect.stringMatching(/^cs2:/) });
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

/** What lies at the centre of a column, by tipo_campo and codigo. */
const setStored = (tipo: string, codigo: string, column: string, value: string) =>
  world.backend.sql.query(
    'UPDATE parametros_maestros SET parametros_json = jsonb_set(parametros_json, $3, $4) WHERE tipo_campo = $1 AND codigo = $2',
    [tipo, codigo, [column], value],
  );
/** `sync` with the configuration of a hostile centre: which tables fail, and what reaches the centre. */
const syncWith = async (tables: object) => {
  await world.setTables(tables);
  const { log } = await world.sync();
  const refused = [...log.matchAll(/ERROR (\S+): .*\[([A-Z_]+)\]/g)].map(([, tabla, code]) => `${tabla} ${code}`);
  const { rows } = await world.backend.sql.query('SELECT parametros_json::text AS text FROM parametros_maestros');
  return { refused, leaked: JSON.stringify(rows).includes('20-11111111-1') };
};

test.each([
  ['that leaves a column away', { ...subida, camposSensibles: ['saldo'] }, 'CAMPOS_SENSIBLES_CAMBIADOS'],
  ['that leaves all of them away', { ...subida, camposSensibles: undefined }, 'CAMPOS_SENSIBLES_CAMBIADOS'],
  [
    'that leaves them away and changes tipoCampo',
    { ...subida, camposSensibles: undefined, tipoCampo: 'otro' },
    'CAMPOS_SENSIBLES_CAMBIADOS',
  ],
  ['that renames the table', { ...subida, nombre: 'otra', camposSensibles: undefined }, 'CAMPO_SENSIBLE_EN_CLARO'],
  [
    'that asks for them in another case, in another table',
    { nombre: 'otra', process: { query: 'SELECT codigo, cuit AS [Cuit] FROM clientes' } },
    'CAMPO_SENSIBLE_EN_CLARO',
  ],
])('a centre %s gets nothing in plain, and the other tables go on', async (_, hostile, code) => {
  const abierta = { nombre: 'abiertos', process: { query: 'SELECT codigo FROM clientes' } };
  expect(await syncWith({ tablasSubida: [hostile, abierta] })).toEqual({
    refused: [`${hostile.nombre} ${code}`],
    leaked: false,
  });
  const lines: string[] = [];
  await runTest({ folder: world.folder, print: (line) => lines.push(line), signal });
  expect(lines.join('\n')).toContain(`✖ Subida ${hostile.nombre}: `);
  expect(lines.join('\n')).toContain(`[${code}]`);
  await world.backend.sql.query("DELETE FROM parametros_maestros WHERE tipo_campo = 'abierto'");
});

test('what a person approves leaves in plain; the pin of the other columns stays', async () => {
  const only = { ...subida, camposSensibles: ['cuit'] };
  await world.setTables({ tablasSubida: [only] });
  expect(await approve()).toContain('subida clientes, camposSensibles (cambió):\n  - saldo\n    cuit');
  expect((await world.sync()).reason).toBe('exitoso');
  expect((await stored())[0]!.parametros).toMatchObject({
    saldo: expect.any(Number),
    CUIT: expect.stringMatching(/^cs2:/),
  });
  // More of them need nobody.
  expect((await syncWith({ tablasSubida: [subida], tablasBajada: [bajada] })).refused).toEqual([]);
  expect((await syncWith({ tablasSubida: [{ ...subida, camposSensibles: ['cuit'] }] })).refused).toEqual([
    'clientes CAMPOS_SENSIBLES_CAMBIADOS',
  ]);
});

test('a query that gave a column before it was sensitive elsewhere goes on, as long as it stays as it is', async () => {
  const proveedores = {
    nombre: 'proveedores',
    process: { query: "SELECT '9' AS codigo, 'a@b' AS email" },
  };
  const clientes = {
    ...subida,
    process: { query: `SELECT codigo, nombre, CUIT, saldo, 'x@y' AS email FROM clientes` },
  };
  expect((await syncWith({ tablasSubida: [clientes, proveedores] })).refused).toEqual([]);
  const more = { ...clientes, camposSensibles: ['cuit', 'saldo', 'email'] };
  expect((await syncWith({ tablasSubida: [more, proveedores] })).refused).toEqual([]);
  const changed = { ...proveedores, process: { query: "SELECT '8' AS codigo, 'a@b' AS email" } };
  expect((await syncWith({ tablasSubida: [more, changed] })).refused).toEqual(['proveedores CAMPO_SENSIBLE_EN_CLARO']);
  await world.setTables({ tablasSubida: [subida], tablasBajada: [bajada] });
  await approve();
  await world.backend.sql.query("DELETE FROM parametros_maestros WHERE tipo_campo <> 'cliente'");
});

test('with --aprobar-sql a column more is approved too', async () => {
  await world.setTables({ tablasSubida: [subida], tablasBajada: [bajada] });
  await approve();
  await world.setTables({
    tablasSubida: [{ ...subida, camposSensibles: ['cuit', 'saldo', 'otra'] }],
    tablasBajada: [bajada],
  });
  const { log } = await world.sync({ requiresApproval: true });
  expect(log).toMatch(/ERROR clientes: .*pasaría a cifrar «otra».*\[CAMPOS_SENSIBLES_CAMBIADOS\]/);
  await world.setTables({ tablasSubida: [subida], tablasBajada: [bajada] });
  expect((await world.sync({ requiresApproval: true })).reason).toBe('exitoso');
});

test('a value of another table is refused, and nothing is changed; nor is an old one taken once none was left', async () => {
  const proveedores = {
    nombre: 'proveedores',
    process: { query: "SELECT '9' AS codigo, '30-99999999-9' AS CUIT, 5.00 AS saldo" },
    camposSensibles,
  };
  const tables = { tablasSubida: [subida, proveedores], tablasBajada: [bajada] };
  expect((await syncWith(tables)).refused).toEqual([]);
  const target = 'SELECT codigo, cuit FROM clientes_copia ORDER BY codigo';
  const good = await world.query(target);
  const { rows } = await world.backend.sql.query<{ cuit: string; own: string }>(
    `SELECT (SELECT parametros_json->'CUIT' FROM parametros_maestros WHERE tipo_campo = 'proveedor')::text AS cuit,
            (SELECT parametros_json->'CUIT' FROM parametros_maestros WHERE tipo_campo = 'cliente' AND codigo = '2')::text AS own`,
  );
  const { cuit, own } = rows[0]!;
  await setStored('cliente', '2', 'CUIT', cuit);
  const swapped = await world.sync({ upload: false });
  expect(swapped.log).toMatch(
    /ERROR clientes_copia: .*«cuit» se cifró para «proveedor».*deben ser de «cliente»\. \[CAMPO_SENSIBLE_DE_OTRA_TABLA\].*--origen-nuevo/,
  );
  expect(await world.query(target)).toEqual(good);

  const { dataKey } = await readLocalConfig(world.folder, password());
  await setStored('cliente', '2', 'CUIT', encryptAsBefore(dataKey!, 'cuit', '"20-22222222-2"'));
  const old = await world.sync({ upload: false });
  expect(old.log).toMatch(/ERROR clientes_copia: .*«cuit».*versión anterior.*\[CAMPO_SENSIBLE_ANTIGUO\]/);
  expect(await world.query(target)).toEqual(good);

  // A person takes it, and until it is uploaded again each run says so.
  await approve(true);
  const taken = await world.sync({ upload: false });
  expect(taken.reason).toBe('exitoso');
  expect(taken.log).toMatch(/AVISO clientes_copia: 1 valores sensibles los cifró una versión anterior/);
  expect(await world.query(target)).toEqual([good[0], { codigo: '2', cuit: '20-22222222-2' }]);
  await setStored('cliente', '2', 'CUIT', own);
  expect((await world.sync({ upload: false })).log).not.toContain('versión anterior');
  await world.backend.sql.query("DELETE FROM parametros_maestros WHERE tipo_campo <> 'cliente'");
});

test('an install folder of an earlier version holds on to what it encrypted by its copy of the configuration', async () => {
  expect((await syncWith({ tablasSubida: [subida], tablasBajada: [bajada] })).refused).toEqual([]);
  const { sensitivePins: _, ...older } = await readLocalConfig(world.folder, password());
  await writeLocalConfig(world.folder, password(), older);
  const hostile = { ...subida, camposSensibles: ['saldo'] };
  expect(await syncWith({ tablasSubida: [hostile], tablasBajada: [bajada] })).toEqual({
    refused: ['clientes CAMPOS_SENSIBLES_CAMBIADOS'],
    leaked: false,
  });
  await world.setTables({ tablasSubida: [subida], tablasBajada: [bajada] });
  expect((await world.sync()).reason).toBe('exitoso');
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
  await truncate(file, 3e9);
  await expect(importDataKey({ folder: world.folder, file, print })).rejects.toThrow(/no es de data-key export/);
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
  await world.setTables({ tablasSubida: [{ ...subida, camposSensibles: ['cuit', 'saldo', 'ciut'] }] });
  const { reason, log } = await world.sync();
  expect(reason).toBe('error');
  expect(log).toMatch(/no da la columna «ciut», que está en camposSensibles\. \[CAMPO_SENSIBLE_AUSENTE\]/);
  expect(await stored()).toEqual([]);
  const recorded = 'SELECT metadatos FROM sync_logs WHERE estado = $1 ORDER BY "fechaInicio" DESC LIMIT 1';
  const { rows } = await world.backend.sql.query(recorded, ['error']);
  expect(rows).toEqual([{ metadatos: { codigo: 'CAMPO_SENSIBLE_AUSENTE' } }]);
});
