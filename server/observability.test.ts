import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import { findFreePort } from '../fixtures/postgres.ts';
import { missingPrograms } from '../fixtures/programs.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/** `docs/observabilidad/`: what Prometheus and Grafana are given, held against a server that runs. */
vi.setConfig({ testTimeout: 120_000 });
const run = promisify(execFile);
const folder = join(import.meta.dirname, '..', 'docs', 'observabilidad');
const read = (name: string) => readFile(join(folder, name), 'utf8');
const token = 'testigo-de-prueba-de-32-letras--';

const missing = missingPrograms('what Prometheus reads', 'prometheus', 'promtool');

interface Dashboard {
  panels: { title: string; targets: { expr: string }[] }[];
}
const exprsOf = (dashboard: string) =>
  (JSON.parse(dashboard) as Dashboard).panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));

let server: TestServer;
beforeAll(async () => {
  const tables = { tablasSubida: [{ nombre: 'clientes', primaryKey: 'id', process: { query: 'SELECT 1' } }] };
  server = await startTestServer(inject('postgresUrl'), { tables, settings: { METRICS_TOKEN: token } });
  const headers = { 'content-type': 'application/x-ndjson' };
  const uploaded = await server.call('/upload/acme-001?tabla=clientes', {
    method: 'POST',
    headers,
    body: '{"id":1}\n',
  });
  expect(uploaded.status).toBe(200);
});
afterAll(() => server?.close());

test('every metric that rules and dashboard name is one that the server has', async () => {
  const answer = await fetch(`${server.url}/metrics`, { headers: { authorization: `Bearer ${token}` } });
  const there = new Set([...(await answer.text()).matchAll(/^([a-z0-9_]+)[{ ]/gm)].map(([, name]) => name));
  const texts = [await read('alertas.yml'), ...exprsOf(await read('grafana.json'))].join('\n');
  const named = new Set([...texts.matchAll(/\b(?:ax_sync|process|nodejs)_[a-z0-9_]+/g)].map(([name]) => name));
  expect(named.size).toBeGreaterThan(15);
  expect([...named].filter((name) => !there.has(name))).toEqual([]);
});

test('every alert has a case in which it fires and one in which it does not', async () => {
  const alerts = [...(await read('alertas.yml')).matchAll(/alert: (\w+)/g)].map(([, name]) => name!);
  const cases = (await read('alertas.test.yml')).split('eval_time:');
  for (const alert of alerts) {
    const own = cases.filter((text) => text.includes(`alertname: ${alert}\n`));
    expect(
      own.some((text) => text.includes('exp_labels')),
      alert,
    ).toBe(true);
    expect(
      own.some((text) => text.includes('exp_alerts: []')),
      alert,
    ).toBe(true);
  }
});

describe.skipIf(missing.length > 0)('with Prometheus', () => {
  test('the rules are what Prometheus takes, and each fires when it should', async () => {
    await run('promtool', ['check', 'rules', 'alertas.yml'], { cwd: folder });
    await run('promtool', ['test', 'rules', 'alertas.test.yml'], { cwd: folder });
  });

  test('Prometheus reads a server with the configuration of the documentation, and every panel can be asked', async () => {
    const home = await mkdtemp(join(tmpdir(), 'ax-sync-prometheus-'));
    const port = await findFreePort();
    await cp(folder, home, { recursive: true });
    await writeFile(join(home, 'metrics-token'), token);
    const config = (await read('prometheus.yml')).replace('127.0.0.1:3000', new URL(server.url).host);
    await writeFile(join(home, 'prometheus.yml'), config.replaceAll('30s', '1s'));
    const listen = `--web.listen-address=127.0.0.1:${port}`;
    const child = spawn('prometheus', [listen, '--config.file=prometheus.yml', '--storage.tsdb.path=data'], {
      cwd: home,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const ended = once(child, 'exit');
    const said = child.stderr.setEncoding('utf8').toArray();
    try {
      const ask = async (path: string) => {
        const answer = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`);
        return (await answer.json()) as { status: string; data: { result: { value: [number, string] }[] } };
      };
      const query = (expr: string) => ask(`query?query=${encodeURIComponent(expr)}`);
      const valuesOf = async (expr: string) => (await query(expr)).data.result.map(({ value }) => value[1]);
      const poll = { timeout: 60_000, interval: 200 };
      await expect.poll(() => valuesOf('up{job="ax-sync"}').catch(() => []), poll).toEqual(['1']);
      await expect.poll(() => valuesOf('ax_sync_rows_total{result="inserted"}'), poll).toEqual(['1']);
      expect(await valuesOf('ax_sync_tenants{state="active"}')).toEqual(['1']);
      for (const expr of exprsOf(await read('grafana.json'))) {
        expect((await query(expr.replaceAll('$__rate_interval', '1m'))).status, expr).toBe('success');
      }
      const { data } = (await ask('rules')) as unknown as { data: { groups: { rules: { health: string }[] }[] } };
      const health = data.groups.flatMap(({ rules }) => rules.map((rule) => rule.health));
      expect(health.length).toBeGreaterThan(10);
      expect(health).not.toContain('err');
    } finally {
      child.kill('SIGTERM');
      await ended;
      await said;
      await rm(home, { recursive: true, force: true });
    }
  });
});
