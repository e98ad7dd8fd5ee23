import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import { createScratchDatabase } from '../fixtures/postgres.ts';
import { API_PREFIX, headers } from '../protocol/constants.ts';
import { runCommandLine } from './command-line.ts';
import { loadConfig } from './config.ts';
import { runServer, startServerProcess } from './testing/run-cli.ts';

/**
 * The server's commands as an operator runs them: in this process, as main.ts would, but for what only a process of its own
 * shows. Those start slowly on a busy machine.
 */
vi.setConfig({ testTimeout: 240_000 });

let scratch: Awaited<ReturnType<typeof createScratchDatabase>>;
let env: { DATABASE_URL: string };
let folder: string;
const tenant = 'acme-001';
let key = '';

const server = ['--host', 'sql.local', '--database', 'EmpresaDB', '--user', 'u', '--password', 'p4ss-secreta'];
const tables = {
  tablasSubida: [{ nombre: 'clientes', primaryKey: 'id', clavesRepetidas: 'ultima', process: { query: 'SELECT 1' } }],
  tablasBajada: [
    { nombre: 'lenta', process: { query: "SELECT pg_sleep(1.5) IS NULL AS x, repeat('x', 10) AS y" } },
    { nombre: 'eterna', process: { query: 'SELECT pg_sleep(60) IS NULL AS x' } },
  ],
};

beforeAll(async () => {
  scratch = await createScratchDatabase(inject('postgresUrl'));
  env = { DATABASE_URL: scratch.url };
  folder = await mkdtemp(join(tmpdir(), 'ax-sync-server-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
  await scratch.drop();
});

/** What a process of these arguments and this environment prints and answers. */
async function run(args: readonly string[], env: Record<string, string>) {
  const written = { stdout: '', stderr: '' };
  const code = await runCommandLine(args, () => loadConfig(env), {
    stdout: { write: (text) => (written.stdout += text) },
    stderr: { write: (text) => (written.stderr += text) },
  });
  return { code, ...written };
}

async function query<T extends pg.QueryResultRow>(text: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: scratch.url });
  await client.connect();
  try {
    return (await client.query<T>(text)).rows;
  } finally {
    await client.end();
  }
}

test('two that migrate at once do it once, a third finds nothing to do', async () => {
  const both = await Promise.all([run(['migrate'], env), run(['migrate'], env)]);
  expect(both.map(({ code }) => code)).toEqual([0, 0]);
  const folder = join(import.meta.dirname, 'migrations');
  const namesIn = (names: string[]) => names.sort().map((file) => file.replace(/\.sql$/, ''));
  const migrations = namesIn(readdirSync(folder).filter((file) => /^\d/.test(file)));
  const all = [...migrations, ...namesIn(readdirSync(join(folder, 'functions')))];
  expect(both.map(({ stdout }) => stdout).sort()).toEqual([
    'La base ya está al día.\n',
    `Migraciones aplicadas: ${all.join(', ')}\n`,
  ]);
  expect((await run(['migrate'], env)).stdout).toBe('La base ya está al día.\n');
  expect(await query('SELECT name FROM sync_migrations ORDER BY id')).toHaveLength(migrations.length);
});

test('tenant create, key create, config set and config show', async () => {
  const created = await run(['tenant', 'create', '--tenant', tenant, ...server], env);
  expect(created).toMatchObject({ code: 0, stderr: '' });
  // A process of its own: its environment, what it prints, its exit code.
  const twice = await runServer(['tenant', 'create', '--tenant', tenant, ...server], env);
  expect(twice).toMatchObject({ code: 1, stdout: '', stderr: 'ax-sync-server: el tenant «acme-001» ya existe\n' });

  const made = await run(['key', 'create', '--tenant', tenant, '--nombre', 'agente'], env);
  expect(made).toMatchObject({ code: 0, stdout: expect.stringMatching(/^sk_live_[\w-]{43}\n$/) });
  key = made.stdout.trim();
  expect(await query('SELECT nombre, "tenantId" FROM sync_api_keys')).toEqual([{ nombre: 'agente', tenantId: tenant }]);
  expect((await run(['key', 'create', '--tenant', 'nadie'], env)).code).toBe(1);

  const file = join(folder, 'tablas.json');
  await writeFile(file, JSON.stringify(tables));
  const set = await run(['config', 'set', '--tenant', tenant, '--file', file], env);
  expect(set).toMatchObject({
    code: 0,
    stdout:
      'Configuración de «acme-001» guardada (versión 2).\n  «clientes»: la clave es id, o codigo si la consulta lo da en su lugar.\n',
  });

  const shown = await run(['config', 'show', '--tenant', tenant], env);
  expect(JSON.parse(shown.stdout)).toMatchObject({ tenantId: tenant, configuracionTablas: tables, version: 2 });
  expect(shown.stdout).not.toContain('p4ss-secreta');
});

test.each([
  [
    'an instance and a port',
    ['--host', 'SRV\\ERP', '--port', '14330', '--user', 'u'],
    /una instancia, y además hay un puerto/,
  ],
  ['half a Windows account', ['--host', 'SRV\\ERP', '--user', 'EMPRESA\\'], /DOMINIO\\usuario/],
])('tenant create refuses %s before it asks the database', async (_what, wrong, rule) => {
  const args = ['tenant', 'create', '--tenant', 'mal-escrito', '--database', 'b', '--password', 'p', ...wrong];
  const refused = await run(args, { DATABASE_URL: 'postgres://127.0.0.1:1/nadie' });
  expect(refused).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(rule) });
});

test('key list shows the keys, audit who changed what', async () => {
  const keys = await run(['key', 'list', '--tenant', tenant], env);
  expect(keys).toMatchObject({
    code: 0,
    stderr: '',
    stdout: expect.stringMatching(/^ID .*\nc\w{24} +acme-001 +agente /),
  });
  const changes = await run(['audit', '--tenant', tenant, '--limite', '2'], env);
  expect(changes).toMatchObject({ code: 0, stderr: '' });
  expect(changes.stdout).toMatch(/^\S+Z INSERT sync_api_keys c\w{24} de «acme-001», por \S+@\S+ desde \S+ \(/);
  expect(changes.stdout).toMatch(/\n {4}configuracionTablas\.tablasSubida\[clientes\]: ∅ → \{/);
  for (const secret of [key, 'p4ss-secreta']) expect(changes.stdout + keys.stdout).not.toContain(secret);
});

test('config set names every fault and stores nothing', async () => {
  const file = join(folder, 'mala.json');
  await writeFile(file, JSON.stringify({ tablasSubida: [{ nombre: 'x' }], tablasBajada: 5 }));
  const { code, stderr } = await run(['config', 'set', '--tenant', tenant, '--file', file], env);
  expect(code).toBe(1);
  expect(stderr).toMatch(/tablasSubida\[0\]\.process/);
  expect(stderr).toMatch(/tablasBajada/);
  expect(await query('SELECT version FROM sync_configurations')).toEqual([{ version: 2 }]);
});

test.each([
  [['config', 'set', '--tenant', 'x', '--file', '/no/hay.json'], {}, 1, /no se puede leer \/no\/hay\.json/],
  [['serv'], {}, 2, /serve/],
  [['migrate', '--fuerza'], {}, 2, /fuerza/],
  [['migrate'], { DATABASE_URL: 'x' }, 1, /DATABASE_URL/],
  [
    ['config', 'show', '--tenant', 'x'],
    { DATABASE_URL: 'postgres://u:s3creta@127.0.0.1:1/x' },
    1,
    /base de datos no responde/,
  ],
])('%j fails with a sentence', async (args, extra, code, message) => {
  const failed = await run(args as string[], { ...env, ...extra });
  expect(failed).toMatchObject({ code, stdout: '' });
  expect(failed.stderr).toMatch(message);
  expect(failed.stderr).not.toMatch(/s3creta|at .*\.ts:\d/);
});

describe('serve', () => {
  const call = (url: string, path: string, init: RequestInit = {}) =>
    fetch(`${url}${API_PREFIX}${path}`, {
      ...init,
      headers: { ...init.headers, [headers.tenant]: tenant, [headers.apiKey]: key },
    });

  let serving: Awaited<ReturnType<typeof startServerProcess>>;
  beforeAll(async () => {
    serving = await startServerProcess(env);
  });
  afterAll(() => {
    serving?.child.kill('SIGKILL');
  });

  test('streams an upload of 200 MB in bounded memory', async () => {
    const { url, child } = serving;
    const line = `{"id":%,"nombre":"cliente","nota":"${'n'.repeat(160)}"}\n`;
    const rss = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))![1]) / 1024;
    await call(url, '/upload/acme-001?tabla=clientes', {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: '{"id":1}',
    });
    const before = rss();
    let peak = 0;
    let id = 0;
    let sent = 0;
    const response = await call(url, '/upload/acme-001?tabla=clientes', {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: new ReadableStream({
        pull(controller) {
          if (sent >= 200 * 1024 * 1024) return controller.close();
          const lines = Array.from({ length: 2000 }, (_, at) => line.replace('%', String((id + at + 1) % 5000)));
          id += lines.length;
          const bytes = new TextEncoder().encode(lines.join(''));
          sent += bytes.length;
          peak = Math.max(peak, rss());
          controller.enqueue(bytes);
        },
      }),
      duplex: 'half',
    } as RequestInit);
    expect(await response.json()).toMatchObject({ filas: id, registrosInsertados: 4999 });
    peak = Math.max(peak, rss());
    expect(peak - before).toBeLessThan(120);
  });

  test('lets a running request finish, takes no new one, ends with 0 and never logs a key', async () => {
    const { url, child, log } = serving;
    const ended = once(child, 'exit');
    const running = call(url, '/download/acme-001?tabla=lenta');
    await sleep(500);
    child.kill('SIGTERM');
    await sleep(300);
    await expect(call(url, '/health').then((response) => response.status))
      .resolves.toBe(503)
      .catch(() => {});
    const stopping = Date.now();
    const response = await running;
    expect(response.status).toBe(200);
    expect(((await response.json()) as { data: unknown[] }).data).toHaveLength(1);
    expect(await ended).toEqual([0, null]);
    expect(Date.now() - stopping).toBeLessThan(15_000);
    expect(log()).toMatch(/"msg":"petición atendida"/);
    expect(log()).toMatch(/servidor detenido/);
    expect(log()).not.toContain(key);
  });

  test('cuts what still runs after SHUTDOWN_SECONDS', async () => {
    const { url, child } = await startServerProcess({ ...env, SHUTDOWN_SECONDS: '1' });
    const ended = once(child, 'exit');
    const running = call(url, '/download/acme-001?tabla=eterna').then((response) => response.text());
    const outcome = running.then(
      () => 'answered',
      () => 'cut',
    );
    await sleep(500);
    const started = Date.now();
    child.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
    expect(Date.now() - started).toBeLessThan(5000);
    expect(await outcome).toBe('cut');
  });
});
