import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import manifest from '../package.json' with { type: 'json' };
import { runCommandLine } from './cli/run.ts';

/**
 * The command line as an operator meets it, a real HTTP server in the backend's place: in this process, as main.ts would, but for
 * what only a process of its own shows.
 */

// Each process that starts here loads the whole agent.
vi.setConfig({ testTimeout: 120_000 });

const main = resolve(import.meta.dirname, 'main.ts');
const PASSWORD = 'Mi_Password_Super_Seguro_2024!';
const KEY = 'sk_live_abc123xyz789';
let folder: string;
let server: Server | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ax-main-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
  server?.closeAllConnections();
  await new Promise<void>((done) => (server === undefined ? done() : server.close(() => done())));
  server = undefined;
});

interface Outcome {
  code: number | null;
  output: string;
}

/** What a process of these arguments prints and answers. */
async function run(args: string[], { password = PASSWORD }: { password?: string } = {}): Promise<Outcome> {
  let output = '';
  const stream = { write: (text: string) => (output += text) } as unknown as NodeJS.WriteStream;
  if (password === '') delete process.env.SYNC_CONFIG_PASSWORD;
  else process.env.SYNC_CONFIG_PASSWORD = password;
  const { signal } = new AbortController();
  const line = args.includes('--carpeta') ? args : [...args, '--carpeta', folder];
  return { code: await runCommandLine(line, { stdout: stream, stderr: stream }, signal), output };
}

/** The same, of a process of its own: in its folder, with its environment. */
function runProcess(args: string[], { password = PASSWORD }: { password?: string } = {}): Promise<Outcome> {
  const { SYNC_CONFIG_PASSWORD: _, ...env } = process.env;
  const child = spawn(process.execPath, [main, ...args], {
    cwd: folder,
    env: password === '' ? env : { ...env, SYNC_CONFIG_PASSWORD: password },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part: Buffer) => (output += part.toString()));
  return new Promise((done) => child.once('close', (code) => done({ code, output })));
}

/** A backend that knows one tenant, with one table to upload; everything else is refused. `texts`: what it says beside that. */
async function startBackend(texts: { base?: string; tabla?: string; detail?: string } = {}): Promise<string> {
  const config = {
    success: true,
    id: 'c1',
    tenantId: 'acme-corp-001',
    sqlServerHost: '127.0.0.1',
    // Nobody listens there.
    sqlServerPort: 1,
    sqlServerDatabase: texts.base ?? 'EmpresaDB',
    sqlServerUser: 'sync_user',
    sqlServerPassword: 'Clave_SQL_9',
    configuracionTablas: {
      tablasSubida: [{ nombre: texts.tabla ?? 'vista_proveedores', process: { query: 'SELECT 1 AS codigo' } }],
    },
    version: 4,
    ultimaModificacion: '2024-01-15T10:30:00Z',
  };
  server = createServer((request, response) => {
    const answer = (status: number, body: object) => {
      response.writeHead(status, { 'content-type': 'application/json', etag: '"4"' });
      response.end(JSON.stringify(body));
    };
    if (request.url === '/api/sync/health') return answer(200, { success: true, status: 'ok' });
    if (request.headers['x-api-key'] !== KEY) {
      return answer(401, { success: false, code: 'NO_AUTORIZADO', detail: 'Clave desconocida.' });
    }
    // It is of a version that knows no agents' keys.
    if (request.url?.startsWith('/api/sync/agents/')) return answer(404, { code: 'RUTA_DESCONOCIDA', detail: 'No.' });
    if (request.url === '/api/sync/logs/acme-corp-001') return answer(200, { success: true, logsInsertados: 1 });
    if (request.url?.startsWith('/api/sync/status/') && texts.detail !== undefined) {
      return answer(400, { success: false, code: 'CUERPO_INVALIDO', detail: texts.detail });
    }
    if (request.headers['if-none-match'] === '"4"') return response.writeHead(304, { etag: '"4"' }).end();
    return answer(200, config);
  });
  await new Promise<void>((done) => server!.listen(0, '127.0.0.1', done));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const initArgs = (url: string, key = KEY) => ['init', '--url', url, '--tenant', 'acme-corp-001', '--key', key];

test('--version and --help', async () => {
  expect(await runProcess(['--version'])).toEqual({ code: 0, output: `${manifest.version}\n` });
  const { code, output } = await runProcess(['sync', '--help']);
  expect(code).toBe(0);
  expect(output).toContain('--upload-only');
  expect(output).toContain('Solo subir');
  expect(output).not.toMatch(/Show help|Options:|\[boolean\]|\[default/);
});

/** What a terminal obeys, what reorders or hides text, and what is a line end to some. */
const HOSTILE = 'a\u001b[2Kb\u009b31mc\u202ed\u2066e\u2028f\u200bg\u0007h\u007fi\u{e0041}j\ufeffk\rl';
const obeyedIn = (text: string) => text.replace(/[\n\t]/g, '').match(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu);

test('what the centre says reaches terminal, log and report by its code, and forges no line of them', async () => {
  const forged = '2026-01-01 00:00:00.000 INFO  todo en orden';
  const url = await startBackend({
    base: HOSTILE,
    tabla: `t${HOSTILE.replace(/\p{Cc}/gu, (found) => (found < ' ' ? '' : found))}`,
    detail: `${HOSTILE}\n${forged}\n\u001b[1A✔ Backend: responde`,
  });
  const outputs: string[] = [];
  for (const args of [
    initArgs(url),
    ['status'],
    ['status', '--json'],
    ['test'],
    ['sync', '--json'],
    ['logs'],
    ['doctor'],
  ]) {
    const { output } = await run(args);
    expect(obeyedIn(output), args.join(' ')).toBeNull();
    const lines = output.split('\n');
    expect(lines.filter((line) => line.startsWith(forged) || line.startsWith('✔ Backend: responde'))).toEqual([]);
    if (args.includes('--json')) for (const line of lines) if (line.startsWith('{')) JSON.parse(line);
    outputs.push(output);
  }
  const [init, status, json] = outputs;
  expect(init).toContain(
    '127.0.0.1:1/a\\u{1b}[2Kb\\u{9b}31mc\\u{202e}d\\u{2066}e\\u{2028}f\\u{200b}g\\u{7}h\\u{7f}i\\u{e0041}j\\u{feff}k\\u{d}l',
  );
  expect(status).toContain('ta[2Kb\\u{9b}31mc\\u{202e}d');
  expect(JSON.parse(json!).conexiones[0].servidor).toContain(HOSTILE);
  for (const name of await readdir(join(folder, 'logs'))) {
    const text = await readFile(join(folder, 'logs', name), 'utf8');
    expect(obeyedIn(text), name).toBeNull();
    expect(text.split('\n').filter((line) => line.startsWith(forged))).toEqual([]);
  }
  expect(obeyedIn(await readFile(join(folder, 'diagnostico.txt'), 'utf8'))).toBeNull();
});

test('an unknown option fails and says which one was meant', async () => {
  const wrongOption = await runProcess(['sync', '--tablas', 'x']);
  expect(wrongOption.code).toBe(3);
  expect(wrongOption.output).toContain(
    'Argumento desconocido: tablas ¿Quiso decir --tabla? [USO]\nMire ax-sync-client --help.',
  );
  const wrongCommand = await run(['sinc']);
  expect(wrongCommand.code).toBe(3);
  expect(wrongCommand.output).toContain('¿Quiso decir sync?');
  expect(await run([])).toMatchObject({ code: 3, output: expect.stringContaining('Falta el comando') });
  const both = await run(['sync', '--upload-only', '--download-only']);
  expect(both).toMatchObject({ code: 3, output: expect.stringContaining('no van juntas') });
  const noValue = await run(['sync', '--tabla']);
  expect(noValue).toMatchObject({ code: 3, output: expect.stringContaining('Falta el valor de: tabla') });
  const port = await run([...initArgs('http://127.0.0.1:1'), '--sql-port', 'abc']);
  expect(port).toMatchObject({
    code: 3,
    output: expect.stringContaining('--sql-port debe ser un número entero entre 1 y 65535. [OPCION_INVALIDA]'),
  });
  const pem = await run([...initArgs('http://127.0.0.1:1'), '--ca', join(folder, 'no-hay.pem')]);
  expect(pem).toMatchObject({ code: 3, output: expect.stringMatching(/no-hay\.pem.* \[CERTIFICADO_ILEGIBLE\]\n/) });
  const missing = await run(['init', '--url', 'http://127.0.0.1:1']);
  expect(missing).toMatchObject({ code: 3, output: expect.stringContaining('Faltan las opciones obligatorias') });
});

test('schedule: what is missing or wrong is named, and nothing is written', async () => {
  const what = await run(['schedule']);
  expect(what).toMatchObject({
    code: 3,
    output: expect.stringContaining('schedule install, schedule status o schedule remove'),
  });
  const every = await run(['schedule', 'install']);
  expect(every).toMatchObject({ code: 3, output: expect.stringContaining('Falta la opción obligatoria: cada') });
  const time = await run(['schedule', 'install', '--cada', '5x']);
  expect(time).toMatchObject({
    code: 3,
    output: expect.stringMatching(/--cada «5x» no es un tiempo.*\[INTERVALO_INVALIDO\]\nEscríbalo/),
  });
  const noInit = await run(['schedule', 'install', '--cada', '5m']);
  expect(noInit).toMatchObject({ code: 3, output: expect.stringContaining('el agente no está inicializado') });
  expect(await readdir(folder)).toEqual([]);
});

test('without SYNC_CONFIG_PASSWORD, and without init, it says what to do', async () => {
  const noPassword = await run(['sync'], { password: '' });
  expect(noPassword.output).toContain('[CONTRASENA_AUSENTE]\nDefínala');
  const json = await run(['sync', '--json'], { password: '' });
  expect(JSON.parse(json.output)).toMatchObject({ evento: 'fin', codigo: 'CONTRASENA_AUSENTE' });
  expect(noPassword).toMatchObject({ code: 3, output: expect.stringContaining('SYNC_CONFIG_PASSWORD') });
  const noInit = await run(['sync']);
  expect(noInit).toMatchObject({ code: 3, output: expect.stringContaining('Ejecute init') });
  const noKey = await run(['rotate-key']);
  expect(noKey).toMatchObject({ code: 3, output: expect.stringContaining('Ejecute init') });
  expect(await readdir(folder)).toEqual([]);
});

test('init writes the sealed configuration, in the folder of --carpeta, once the backend takes the key', async () => {
  const url = await startBackend();
  const refused = await run(initArgs(url, 'sk_live_otra_clave'));
  expect(refused.code).toBe(6);
  expect(refused.output).toContain('Clave desconocida.');
  expect(await readdir(folder)).toEqual([]);

  const nobody = await run(initArgs('http://127.0.0.1:1'));
  expect(nobody).toMatchObject({ code: 4, output: expect.stringContaining('la conexión fue rechazada') });
  const noUrl = await run(initArgs('backend'));
  expect(noUrl).toMatchObject({ code: 3, output: expect.stringContaining('no es una dirección HTTP. [URL_INVALIDA]') });

  const accepted = await run([...initArgs(url), '--carpeta', folder]);
  expect(accepted.code).toBe(0);
  expect(accepted.output).toContain('sync_user@127.0.0.1:1/EmpresaDB');
  expect(accepted.output).toContain(
    'El backend es de una versión anterior: entrega la contraseña de SQL Server sin sellar',
  );
  if (process.platform !== 'win32') {
    const account = await run(['schedule', 'install', '--cada', '5m', '--cuenta', 'SYSTEM']);
    expect(account).toMatchObject({ code: 3, output: expect.stringContaining('[CUENTA_SOLO_WINDOWS]') });
  }
  expect(await readdir(folder)).toEqual(['sync-config.enc']);
  for (const secret of [KEY, 'Clave_SQL_9', PASSWORD]) expect(accepted.output).not.toContain(secret);
});

test('with SQL Server down: test says so, sync ends with its code, logs hold no secret', async () => {
  const url = await startBackend();
  await run(initArgs(url));
  const checked = await run(['test']);
  expect(checked.code).toBe(1);
  expect(checked.output).toMatch(/✔ Backend/);
  expect(checked.output).toMatch(/✔ Credenciales y configuración: .*versión 4/);
  expect(checked.output).toMatch(/✖ SQL Server 127\.0\.0\.1:1/);

  const unknown = await run(['sync', '--tabla', 'nada']);
  expect(unknown).toMatchObject({ code: 3, output: expect.stringContaining('[TABLA_NO_CONFIGURADA]') });
  await mkdir(join(folder, 'last-sync.json'));
  const strange = await run(['sync']);
  expect(strange).toMatchObject({ code: 1, output: expect.stringContaining('[INESPERADO]') });
  await rm(join(folder, 'last-sync.json'), { recursive: true });
  const json = await run(['sync', '--json']);
  const last = JSON.parse(json.output.trim().split('\n').at(-1)!) as object;
  expect(last).toMatchObject({ evento: 'fin', resultado: 'sqlserver', tablas: [{ codigo: 'CONEXION' }] });
  const synced = await run(['sync']);
  expect(synced.code).toBe(5);
  const errors = await readFile(join(folder, 'logs', 'sync-error.log'), 'utf8');
  expect(errors).toContain('ERROR vista_proveedores:');
  const combined = await readFile(join(folder, 'logs', 'sync-combined.log'), 'utf8');
  for (const secret of [KEY, 'Clave_SQL_9', PASSWORD]) expect(errors + combined + checked.output).not.toContain(secret);
  expect((await readdir(folder)).sort()).toEqual(['logs', 'sync-config.enc']);
});

test('SIGTERM ends a run that waits for the backend, and gives the lock back', async () => {
  const url = await startBackend();
  await run(initArgs(url));
  let asked: (() => void) | undefined;
  const waiting = new Promise<void>((done) => {
    asked = done;
  });
  server!.removeAllListeners('request');
  server!.on('request', () => asked!());
  const child = spawn(process.execPath, [main, 'sync'], {
    cwd: folder,
    env: { ...process.env, SYNC_CONFIG_PASSWORD: PASSWORD },
  });
  const ended = new Promise<number | null>((done) => child.once('close', done));
  await waiting;
  child.kill('SIGTERM');
  expect(await ended).toBe(130);
  expect((await readdir(folder)).sort()).toEqual(['logs', 'sync-config.enc']);
});

test('another password, another run, a table that does not exist: each its exit code', async () => {
  const url = await startBackend();
  await run(initArgs(url));
  expect((await run(['sync'], { password: 'otra' })).code).toBe(3);
  const unknown = await run(['sync', '--tabla', 'vista_nada']);
  expect(unknown).toMatchObject({ code: 3, output: expect.stringContaining('Las que hay: vista_proveedores') });
  await writeFile(join(folder, 'sync.lock'), JSON.stringify({ pid: process.pid }));
  // Its own is no other process.
  expect((await runProcess(['sync'])).code).toBe(7);
});
