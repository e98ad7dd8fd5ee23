import { createReadStream, createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { withSqlServer } from '../client/sqlserver/sql-server.ts';
import { type BulkColumn, createTableSql, createTempTableSql } from '../client/sqlserver/tables/ddl.ts';
import { createScratchDatabase } from '../fixtures/postgres.ts';
import { runSql, type SqlTarget } from '../fixtures/sql.ts';
import { parseSqlType } from '../protocol/rows/sql-types.ts';
import type { Esquema } from '../protocol/tenant-config/config.ts';
import type { Freebcp } from './freebcp.ts';

/** What the same rows cost without us: each step alone, on one connection, one after the other. */

/** The columns that the benchmark's download has. */
export const downloadSchema: Esquema = {
  columns: [
    { name: 'codigo', type: 'VARCHAR(20)', nullable: false },
    { name: 'nombre', type: 'NVARCHAR(200)', nullable: false },
    { name: 'activo', type: 'BIT', nullable: false },
    { name: 'precio', type: 'DECIMAL(18,4)', nullable: false },
    { name: 'fecha', type: 'DATETIME2(7)', nullable: false },
  ],
};

/** Seconds. */
export interface Floor {
  /** COPY and MERGE into an empty table, and again. */
  first: number;
  again: number;
  /** COPY TO of the download's rows, read and dropped. */
  copyTo: number;
  /** Our bulk load of those rows from a file, into `#temp`. */
  bulkLoad: number;
  /** `freebcp in` of those rows into a table; undefined where it is not installed. */
  freebcp: number | undefined;
}

const seconds = async (work: () => Promise<unknown>) => {
  const startedAt = performance.now();
  await work();
  return (performance.now() - startedAt) / 1000;
};
const COPY_OPTIONS = String.raw`(FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')`;

/** Measures the floor of `rows` rows that lie as NDJSON in `file`; files of its own go to `folder`. */
export async function measureFloor(
  postgresUrl: string,
  sql: SqlTarget,
  { file, rows, folder, bcp }: { file: string; rows: number; folder: string; bcp: Freebcp | undefined },
): Promise<Floor> {
  const download = join(folder, 'bajada.ndjson');
  const uploads = await measurePostgres(postgresUrl, file, download);
  return { ...uploads, ...(await measureSqlServer(sql, download, rows, folder, bcp)) };
}

async function measurePostgres(postgresUrl: string, file: string, download: string) {
  const scratch = await createScratchDatabase(postgresUrl, 'piso');
  const client = new pg.Client({ connectionString: scratch.adminUrl });
  await client.connect();
  try {
    await client.query(`
      CREATE TABLE piso (tenant text, tipo text, codigo text COLLATE "C", nombre text, activo boolean NOT NULL,
        parametros_json jsonb NOT NULL, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(),
        PRIMARY KEY (tenant, tipo, codigo));
      CREATE UNLOGGED TABLE entrada (doc jsonb NOT NULL,
        codigo text COLLATE "C" GENERATED ALWAYS AS (doc ->> 'codigo') STORED)`);
    const upload = async () => {
      await client.query('TRUNCATE entrada');
      await client.query('CHECKPOINT');
      return seconds(async () => {
        const copy = client.query(copyFrom(`COPY entrada(doc) FROM STDIN WITH ${COPY_OPTIONS}`));
        await pipeline(createReadStream(file, { highWaterMark: 256 * 1024 }), copy);
        await client.query(`
          MERGE INTO piso p USING (
            SELECT DISTINCT ON (codigo) codigo, coalesce(doc ->> 'nombre', doc ->> 'descripcion') AS nombre,
                   coalesce((doc ->> 'activo')::boolean, true) AS activo, doc - '{codigo,nombre,activo}'::text[] AS resto
            FROM entrada ORDER BY codigo
          ) s ON p.tenant = 'uno' AND p.tipo = 'fila' AND p.codigo = s.codigo
          WHEN MATCHED AND (p.nombre IS DISTINCT FROM s.nombre OR p.activo <> s.activo OR p.parametros_json <> s.resto)
            THEN UPDATE SET nombre = s.nombre, activo = s.activo, parametros_json = s.resto, updated_at = now()
          WHEN NOT MATCHED THEN INSERT (tenant, tipo, codigo, nombre, activo, parametros_json)
            VALUES ('uno', 'fila', s.codigo, s.nombre, s.activo, s.resto)`);
      });
    };
    const first = await upload();
    const again = await upload();
    const rows = `SELECT row_to_json(q) FROM (SELECT codigo, nombre, activo, parametros_json -> 'precio' AS precio,
      parametros_json -> 'fecha' AS fecha FROM piso) q`;
    await client.query('VACUUM ANALYZE piso');
    const open = () => client.query(copyTo(`COPY (${rows}) TO STDOUT WITH ${COPY_OPTIONS}`));
    const copySeconds = await seconds(async () => {
      for await (const _ of open());
    });
    await pipeline(open(), createWriteStream(download));
    return { first, again, copyTo: copySeconds };
  } finally {
    await client.end();
    await scratch.drop();
  }
}

async function measureSqlServer(
  sql: SqlTarget,
  download: string,
  rows: number,
  folder: string,
  bcp: Freebcp | undefined,
): Promise<{ bulkLoad: number; freebcp: number | undefined }> {
  const columns: BulkColumn[] = downloadSchema.columns.map(({ name, type, nullable }) => ({
    name,
    type: parseSqlType(type),
    nullable: nullable!,
  }));
  const { signal } = new AbortController();
  const load = (table: string, create: string) =>
    withSqlServer({ ...sql, trustServerCertificate: true }, { signal }, async (db) => {
      await db.execute(create);
      let loaded = 0;
      const bytes = createReadStream(download, { highWaterMark: 256 * 1024 }) as AsyncIterable<Uint8Array>;
      const took = await seconds(async () => {
        loaded = await db.bulkLoad(table, columns, bytes, { signal });
      });
      if (loaded !== rows) throw new Error(`${loaded} rows were loaded, not ${rows}`);
      return took;
    });
  const bulkLoad = await load('#bajada', createTempTableSql('#bajada', columns));
  if (bcp === undefined) return { bulkLoad, freebcp: undefined };
  // Its input is its own output: that of a table that holds the same rows.
  const text = join(folder, 'bajada.tsv');
  await load('piso_origen', createTableSql('piso_origen', columns, []));
  await bcp(['piso_origen', 'out', text], rows);
  await runSql(sql, `DROP TABLE piso_origen; ${createTableSql('piso_destino', columns, [])}`);
  // Left to itself it begins a new INSERT BULK every 1000 rows.
  const freebcp = await seconds(() => bcp(['piso_destino', 'in', text, '-b', '100000'], rows));
  await runSql(sql, 'DROP TABLE piso_destino');
  const bytes = (await stat(text)).size;
  if (bytes === 0) throw new Error('freebcp wrote nothing');
  return { bulkLoad, freebcp };
}
