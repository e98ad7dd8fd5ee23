import { cpus } from 'node:os';
import { join } from 'node:path';
import { startPostgres } from '../fixtures/postgres.ts';
import {
  createTenant,
  initArguments,
  type ServerFixture,
  startServerFixture,
  type TenantFixture,
} from '../fixtures/system.ts';
import { type ByteCount, countBytes, type Line, measureAgent, settle, sizeOf } from './changes.ts';
import { downloadSchema } from './floor.ts';
import { type Aim, expectZero, printAims, releases, runBenchmark, useBuiltPrograms } from './run.ts';
import { openSource, type Source } from './source.ts';

/**
 * `npm run bench:downloads [-- rows…]`: what a download costs of which nothing or little has changed (`cambios: "huellas"`), beside the same
 * without it, one after the other on this machine, into tables with a key. The agent is measured from the start of its process to its end;
 * the bytes are those between it and the server, both ways.
 */
const PLAIN = 'whole, completo';
const FIRST = 'whole, huellas';
const SAME = 'huellas, nothing changed';
const ONE = 'huellas, one row changed';
const SOME = 'huellas, 1 % changed, 0.1 % gone';

if (import.meta.main) {
  const sizes = process.argv.slice(2).map(Number);
  useBuiltPrograms();
  printAims(
    await runBenchmark(async () => {
      const aims: Aim[] = [];
      for (const rows of sizes.length === 0 ? [1_000_000] : sizes) aims.push(...(await measureSize(rows)));
      return aims;
    }),
  );
}

async function measureSize(rows: number): Promise<Aim[]> {
  const postgres = await startPostgres();
  releases.push(postgres.stop);
  // The target is a table of the stand-in's own.
  const source = await openSource(postgres.url, 1);
  releases.push(source.stop);
  const server = await startServerFixture(postgres.url);
  releases.push(server.stop);
  const wire = await countBytes(server.url);
  releases.push(wire.close);
  const lines: Line[] = [];
  const measure = async (tenant: TenantFixture, what: string) => {
    lines.push(await measureAgent(server, source, tenant, wire, what));
  };
  const plain = await openTenant(server, source, wire, { name: 'completo', rows });
  await measure(plain, PLAIN);
  await plain.remove();
  const tenant = await openTenant(server, source, wire, { name: 'huellas', rows });
  await measure(tenant, FIRST);
  await measure(tenant, SAME);
  await settle(server, `UPDATE parametros_maestros SET nombre = 'otro' WHERE codigo = 'C000000005'`);
  await measure(tenant, ONE);
  await settle(
    server,
    `UPDATE parametros_maestros SET parametros_json = parametros_json || '{"precio": 1.5}' WHERE codigo LIKE '%00';
     DELETE FROM parametros_maestros WHERE codigo LIKE '%001'`,
  );
  await settle(server);
  await measure(tenant, SOME);
  await measure(tenant, `${SAME} since`);
  const ledger = await sizeOf(join(tenant.folder, 'huellas'));
  await tenant.remove();
  print(rows, lines);
  const one = (what: string) => lines.find((line) => line.what === what)!;
  return [
    { what: `${SAME}, ${rows} rows, KB on the wire`, value: one(SAME).bytes / 1000, atMost: 20 },
    { what: `${SAME}, ${rows} rows, × whole`, value: one(SAME).seconds / one(FIRST).seconds, atMost: 0.5 },
    { what: `${ONE}, ${rows} rows, KB on the wire`, value: one(ONE).bytes / 1000, atMost: 50 },
    { what: `${SOME}, ${rows} rows, × whole`, value: one(SOME).seconds / one(FIRST).seconds, atMost: 1 },
    {
      what: `${SOME}, ${rows} rows, share of the bytes of all`,
      value: one(SOME).bytes / one(FIRST).bytes,
      atMost: 0.3,
    },
    { what: `${FIRST}, ${rows} rows, × completo`, value: one(FIRST).seconds / one(PLAIN).seconds, atMost: 1.25 },
    { what: `${SAME}, ${rows} rows, peak of the agent, MB`, value: one(SAME).agentPeak / 1e6, atMost: 150 },
    { what: `ledger, ${rows} rows, MB a million`, value: ledger / rows, atMost: 20 },
  ];
}

/** A tenant with so many rows at the centre, and a download of them. */
async function openTenant(
  server: ServerFixture,
  { sql }: Source,
  wire: ByteCount,
  { name, rows }: { name: 'completo' | 'huellas'; rows: number },
): Promise<TenantFixture> {
  const tenant = await createTenant(server, `bench-${name}-${rows}`, sql);
  const query = 'parametros_maestros.tipo_campo=fila';
  await tenant.configure({
    tablasBajada: [
      {
        ...{ nombre: `bajada_${name}_${rows}`, primaryKey: 'codigo', schema: downloadSchema, process: { query } },
        ...(name === 'huellas' && { cambios: 'huellas' }),
      },
    ],
  });
  await settle(
    server,
    `TRUNCATE parametros_maestros;
     INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, nombre, activo, parametros_json)
     SELECT 'bench-${name}-${rows}', 'fila', 'C' || lpad(n::text, 9, '0'), 'Ferretería San Martín ' || n, n % 17 <> 0,
       jsonb_build_object('precio', (n * 137003::numeric) / 10000, 'fecha', timestamp '2024-01-01' + n * interval '1.0000123 s')
     FROM generate_series(1, ${rows}) n`,
  );
  await settle(server);
  await expectZero(tenant, initArguments({ ...server, url: wire.url }, tenant, sql));
  return tenant;
}

function print(rows: number, lines: readonly Line[]): void {
  console.log(`\n${cpus()[0]?.model}, ${cpus().length} cores, Bun ${Bun.version}, ${rows} rows\n`);
  console.log('| what | s | on the wire, KB | agent peak MB | CPU s: agent | server | PostgreSQL | stand-in |');
  console.log('|---|---:|---:|---:|---:|---:|---:|---:|');
  for (const { what, seconds, bytes, agentPeak, cpu } of lines) {
    const { agent, server, postgres, standIn } = cpu;
    const parts = [agent, server, postgres, standIn].map((value) => value?.toFixed(1) ?? '');
    const [kilo, mega] = [(bytes / 1000).toFixed(1), Math.round(agentPeak / 1e6)];
    console.log(`| ${what} | ${seconds.toFixed(2)} | ${kilo} | ${mega} | ${parts.join(' | ')} |`);
  }
}
