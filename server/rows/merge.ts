import type { TablaSubida } from '../../protocol/tenant-config/config.ts';
import type { Connection } from '../postgres/pool.ts';
import { tipoCampoOf } from '../tenants/configurations.ts';
import { assertNoRepetition, type ReceivedRows } from './staging.ts';

export interface MergeCounts {
  /** Distinct keys received. */
  claves: number;
  insertados: number;
  actualizados: number;
  /** Inserted keys that SQL Server takes for another one that is here. */
  parecidas: { pares: number; muestra: [string, string][] } | undefined;
}

/**
 * Lets only one merge of a tenant's tipo_campo run at a time; held to the end of the transaction. A row, because a
 * tenant's SQL can take any advisory lock, but not this one.
 */
export async function lockTipoCampo(connection: Connection, tenant: string, tipoCampo: string): Promise<void> {
  const values = [tenant, tipoCampo];
  await connection.query(
    'INSERT INTO sync_cerrojos ("tenantId", tipo_campo) VALUES ($1, $2) ON CONFLICT DO NOTHING',
    values,
  );
  await connection.query('SELECT FROM sync_cerrojos WHERE "tenantId" = $1 AND tipo_campo = $2 FOR UPDATE', values);
}

/**
 * Up to so many lines, their keys are looked up one by one; more are joined with every row of the tipo_campo. An upload of 10,000 lines
 * and 1,000 bajas into a million rows: 1.8 CPU s of PostgreSQL, 3.4 where they are joined.
 */
const LOOKUP_MAX_LINES = 20_000;

/**
 * Brings received rows into parametros_maestros: rows that are equal stay untouched.
 * `kept`: columns that the rows no longer have, whose values stay as they are (schemas.ts).
 * UPDATE and INSERT instead of MERGE, because before PostgreSQL 17 MERGE cannot say which it did; into an empty table
 * it is twice as fast besides. (INSERT … ON CONFLICT DO NOTHING alone into an empty table, no keys counted before, takes
 * as much CPU.) Nested loops are off: the statistics know nothing of a tenant that has just been filled, and a loop
 * planned for one row would run over all of them.
 * @throws {SyncError} CLAVE_REPETIDA for lines with one key, unless the table lets the last one win
 */
export async function mergeReceived(
  connection: Connection,
  tenant: string,
  tabla: TablaSubida,
  received: ReceivedRows,
  kept: readonly string[] = [],
): Promise<MergeCounts> {
  const tipoCampo = tipoCampoOf(tabla);
  const { table } = received;
  const key = `(${received.key}) COLLATE "C"`;
  await connection.query(`SET LOCAL enable_nestloop = off; SET LOCAL work_mem = '32MB'`);
  const { rows } = await connection.query<{ filas: number; claves: number }>(
    `SELECT count(*)::integer AS filas, count(DISTINCT ${key})::integer AS claves FROM ${table}`,
  );
  const { filas, claves } = rows[0]!;
  if (claves < filas && tabla.clavesRepetidas !== 'ultima') await assertNoRepetition(connection, received, tabla);
  const latest = `(SELECT DISTINCT ON (${key}) * FROM ${table} ORDER BY ${key}, ${received.latestFirst}) r`;
  const lookup = filas <= LOOKUP_MAX_LINES ? `AND p.codigo = ANY (ARRAY(SELECT ${key} FROM ${table}))` : '';
  const target = `p."tenantId" = $1 AND p.tipo_campo = $2 ${lookup}`;
  const source = `SELECT ${key} AS codigo, coalesce(doc ->> 'nombre', doc ->> 'descripcion', doc ->> 'razon_social') AS nombre,
                         sync_activo(doc -> 'activo') AS activo, doc - '{${received.dropped.join(',')}}'::text[] AS parametros_json
                  FROM ${claves < filas ? latest : table}`;
  const now = keeping(kept);
  // By their bytes: for jsonb's own <> 10.5 is 10.5000. The same document has the same bytes, whatever the order of its keys.
  // 1 M unchanged rows: 3.1 s; with <> 5.9 s, with <> and the text beside it 7.6 s.
  const updated = await connection.query(
    `UPDATE parametros_maestros p
     SET nombre = ${now.nombre}, activo = ${now.activo}, parametros_json = ${now.documento}, updated_at = now()
     FROM (${source}) n
     WHERE ${target} AND p.codigo = n.codigo
       AND (p.activo <> ${now.activo} OR p.nombre IS DISTINCT FROM ${now.nombre}
         OR record_image_ne(ROW(p.parametros_json), ROW(${now.documento})))`,
    [tenant, tipoCampo, ...(kept.length === 0 ? [] : [kept])],
  );
  const actualizados = updated.rowCount ?? 0;
  // All were there: no need to look once more.
  const { insertados, nuevas } =
    actualizados === claves ? NOTHING_NEW : await insertMissing(connection, { source, target, tenant, tipoCampo });
  const parecidas = nuevas === null ? undefined : await findAlike(connection, tenant, tipoCampo, nuevas);
  await connection.query('SET LOCAL enable_nestloop TO DEFAULT; SET LOCAL work_mem TO DEFAULT');
  return { claves, insertados, actualizados, parecidas };
}

const NOTHING_NEW = { insertados: 0, nuevas: null };

/** Inserts the rows of `source` whose key is none of `target`; their keys, up to one more than are looked for one by one. */
async function insertMissing(
  connection: Connection,
  { source, target, tenant, tipoCampo }: Record<'source' | 'target' | 'tenant' | 'tipoCampo', string>,
): Promise<{ insertados: number; nuevas: string[] | null }> {
  // In the order of the key: the index then grows at its end instead of everywhere.
  const { rows } = await connection.query<{ insertados: number; nuevas: string[] | null }>(
    `WITH nuevas AS (
       INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, nombre, activo, parametros_json)
       SELECT $1, $2, n.codigo, n.nombre, n.activo, n.parametros_json FROM (${source}) n
       WHERE NOT EXISTS (SELECT FROM parametros_maestros p WHERE ${target} AND p.codigo = n.codigo)
       ORDER BY n.codigo RETURNING codigo)
     SELECT (SELECT count(*)::integer FROM nuevas) AS insertados,
            (SELECT array_agg(codigo) FROM (SELECT codigo FROM nuevas LIMIT ${LOOKUP_MAX_LINES + 1}) algunas) AS nuevas`,
    [tenant, tipoCampo],
  );
  return rows[0]!;
}

/** SQL of what a row (`p`) has once `n` is merged into it: all of `n`, and of `p` the values of `$3`, if any are kept. */
function keeping(kept: readonly string[]): { nombre: string; activo: string; documento: string } {
  if (kept.length === 0) return { nombre: 'n.nombre', activo: 'n.activo', documento: 'n.parametros_json' };
  const lower = new Set(kept.map((name) => name.toLowerCase()));
  const had = `(SELECT jsonb_object_agg(key, value) FROM jsonb_each(p.parametros_json)
                WHERE lower(key) IN (SELECT lower(name) FROM unnest($3::text[]) AS name))`;
  return {
    nombre: ['nombre', 'descripcion', 'razon_social'].some((name) => lower.has(name))
      ? 'coalesce(n.nombre, p.nombre)'
      : 'n.nombre',
    activo: lower.has('activo') ? 'p.activo' : 'n.activo',
    documento: `(coalesce(${had}, '{}') || n.parametros_json)`,
  };
}

/** Pairs in an answer; more are counted. */
const ALIKE_SAMPLE = 5;

/**
 * Keys that are not as all would be if they were written alike. Two that SQL Server takes for one cannot both be so: where every
 * key is (codes in capitals, digits), one look at them is enough.
 */
const ODD = {
  lower: 'codigo <> sync_plegada(codigo)',
  upper: '(octet_length(codigo) <> length(codigo) OR codigo <> upper(rtrim(codigo)))',
};

/**
 * Keys inserted just now that are another one's for SQL Server, where a download of both would end with error 2627. A few new ones
 * are looked for among all keys of the tipo_campo; of many, those that are odd. 1 M keys: 0.6 s for a few new ones, 0.5 s for all in
 * capitals (inserting them: 22 s), 4 s for a mixture.
 */
async function findAlike(
  connection: Connection,
  tenant: string,
  tipoCampo: string,
  nuevas: readonly string[],
): Promise<MergeCounts['parecidas']> {
  const from = 'FROM parametros_maestros WHERE "tenantId" = $1 AND tipo_campo = $2';
  const values: unknown[] = [tenant, tipoCampo];
  let candidates = 'SELECT sync_plegada(nueva) FROM unnest($3::text[]) AS nueva';
  if (nuevas.length <= LOOKUP_MAX_LINES) values.push(nuevas);
  else {
    const { rows } = await connection.query<{ lower: number; upper: number }>(
      `SELECT count(*) FILTER (WHERE ${ODD.lower})::integer AS lower, count(*) FILTER (WHERE ${ODD.upper})::integer AS upper ${from}`,
      values,
    );
    const { lower, upper } = rows[0]!;
    if (Math.min(lower, upper) === 0) return undefined;
    candidates = `SELECT sync_plegada(codigo) ${from} AND ${lower < upper ? ODD.lower : ODD.upper}`;
  }
  const { rows } = await connection.query<{ par: [string, string]; pares: number }>(
    `SELECT claves[1:2] AS par, sum(cardinality(claves) - 1) OVER ()::integer AS pares
     FROM (SELECT array_agg(codigo ORDER BY codigo) AS claves ${from} AND sync_plegada(codigo) IN (${candidates})
           GROUP BY sync_plegada(codigo) HAVING count(*) > 1 AND bool_or(created_at = now())) AS grupos
     ORDER BY claves LIMIT ${ALIKE_SAMPLE}`,
    values,
  );
  if (rows[0] === undefined) return undefined;
  return { pares: rows[0].pares, muestra: rows.map(({ par }) => par) };
}
