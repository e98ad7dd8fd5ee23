import type { DetailsResponse, Verificacion } from '../../protocol/api.ts';
import { keyHashSql, rowHashSql, valueHashSql } from '../../protocol/rows/row-hash.ts';
import type { TablaSubida } from '../../protocol/tenant-config/config.ts';
import { quoteLiteral } from '../postgres/copy.ts';
import type { Connection } from '../postgres/pool.ts';
import { type Configuration, namesSharing, tipoCampoOf } from '../tenants/configurations.ts';

/** What a table of a tenant has at the centre, as hashes (protocol/SPEC.md, Y1 to Y3). All of it is the server's own SQL. */

/** Comparisons that are kept of a table. */
const KEPT = 50;

/** Whose rows. */
export interface VerifiedTable {
  configuration: Configuration;
  tabla: TablaSubida;
  /** As the wire has it. */
  semilla: string;
}

/**
 * FROM and WHERE of the table's rows: those of its tipo_campo, and where several tables share that, those that it has brought. Rows
 * that nobody has brought belong to none of them.
 */
function rowsOf({ configuration, tabla }: VerifiedTable): string {
  const tipo = quoteLiteral(tipoCampoOf(tabla));
  const tenant = quoteLiteral(configuration.tenantId);
  const own = `FROM parametros_maestros p WHERE "tenantId" = ${tenant} AND tipo_campo = ${tipo}`;
  if (namesSharing(configuration, tabla).length === 1) return own;
  return `${own} AND EXISTS (SELECT FROM sync_claves_compartidas c WHERE c."tenantId" = p."tenantId"
    AND c.tipo_campo = p.tipo_campo AND c.codigo = p.codigo AND c.tabla = ${quoteLiteral(tabla.nombre)})`;
}

/** SQL of the seed. Throws Error for what is no bigint. */
function seedOf({ semilla }: VerifiedTable): string {
  return `'${BigInt.asIntN(64, BigInt(semilla))}'::bigint`;
}

/** Returns the SQL of which bucket a hash of 64 bits is in: a number from 0. */
export function bucketSql(hash: string, bits: number): string {
  // Not a bare 0, which ORDER BY would take for a column.
  return bits === 0 ? '0::integer' : `((${hash} >> ${64 - bits}) & ${2 ** bits - 1})::integer`;
}

/** Returns the SELECT of one column: a line for each bucket that has rows. */
export function summarySql(table: VerifiedTable, bits: number): string {
  const seed = seedOf(table);
  const xor = (condition: string) => `to_hex(coalesce(bit_xor(fila) FILTER (WHERE ${condition}), 0))`;
  const count = (condition: string) => `to_hex(count(*) FILTER (WHERE ${condition}))`;
  const parts = ['to_hex(cubo)', count('activo'), xor('activo'), count('NOT activo'), xor('NOT activo')];
  return `SELECT '"' || ${parts.join(` || ',' || `)} || '"'
    FROM (SELECT ${bucketSql(keyHashSql(seed), bits)} AS cubo, activo, ${rowHashSql(seed)} AS fila ${rowsOf(table)}) filas
    GROUP BY cubo`;
}

/** Returns a bit for every bucket: past the end of those that were given there is none. */
export function bitmapOf(bits: number, cubos: Buffer): Buffer {
  const size = Math.max(1, Math.ceil(2 ** bits / 8));
  return Buffer.concat([cubos, Buffer.alloc(Math.max(0, size - cubos.length))]).subarray(0, size);
}

/** Returns the SELECT of one column: a line for each row of the buckets whose bit is set, with its key. */
export function pairsSql(table: VerifiedTable, { bits, cubos }: { bits: number; cubos: Buffer }): string {
  const seed = seedOf(table);
  const bucket = bucketSql(keyHashSql(seed), bits);
  const hex = (hash: string) => `lpad(to_hex(${hash}), 16, '0')`;
  const wanted = bitmapOf(bits, cubos);
  return `SELECT '"' || ${hex(keyHashSql(seed))} || ',' || ${hex(rowHashSql(seed))} || ',' || substr(to_json(codigo)::text, 2)
    ${rowsOf(table)} AND get_bit('\\x${wanted.toString('hex')}'::bytea, ${bucket}) = 1 ORDER BY ${bucket}`;
}

/** Returns what is there now of the keys with these hashes. */
export async function findDetails(
  connection: Connection,
  table: VerifiedTable,
  { huellas, claves, columnas }: Record<'huellas' | 'claves' | 'columnas', Buffer>,
): Promise<Omit<DetailsResponse, 'success'>> {
  const seed = seedOf(table);
  const key = keyHashSql(seed);
  const hex = `lpad(to_hex(${key}), 16, '0')`;
  const all = Buffer.concat([huellas, claves, columnas]);
  if (all.length === 0) return { filas: '', claves: [], columnas: [] };
  // All rows are gone through once; what follows finds its own by the index.
  const named = `SELECT ${hex} AS huella, codigo ${rowsOf(table)} AND ${key} = ANY ($1::bigint[])`;
  const { rows: known } = await connection.query<{ huella: string; codigo: string }>(named, [hashesIn(all)]);
  const knownOf = (wanted: Buffer) => {
    const hashes = new Set(hexIn(wanted));
    return known.filter(({ huella }) => hashes.has(huella));
  };
  const find = async <Row extends object>(columns: string, wanted: Buffer): Promise<Row[]> => {
    const codes = knownOf(wanted).map(({ codigo }) => codigo);
    if (codes.length === 0) return [];
    return (await connection.query<Row>(`SELECT ${columns} ${rowsOf(table)} AND codigo = ANY ($1)`, [codes])).rows;
  };
  const pairs = `coalesce(string_agg(int8send(${key}) || int8send(${rowHashSql(seed)}), ''), '') AS filas`;
  const values = `SELECT jsonb_object_agg(columna, ${valueHashSql('valor', seed)}::text)
    FROM (SELECT key AS columna, value::text AS valor FROM jsonb_each(parametros_json)
          UNION ALL VALUES ('nombre', coalesce(nombre, '')), ('activo', activo::text)) columnas`;
  const [found] = await find<{ filas: Buffer }>(pairs, huellas);
  return {
    filas: found?.filas.toString('base64') ?? '',
    claves: knownOf(claves),
    columnas: await find(`${hex} AS huella, (${values}) AS valores`, columnas),
  };
}

/** Of 8 bytes each, as PostgreSQL writes them in hexadecimal. */
function hexIn(bytes: Buffer): string[] {
  const count = Math.floor(bytes.length / 8);
  return Array.from({ length: count }, (_, i) => bytes.toString('hex', 8 * i, 8 * i + 8));
}

/** Bigints as text, of 8 bytes each. */
function hashesIn(bytes: Buffer): string[] {
  const count = Math.floor(bytes.length / 8);
  return Array.from({ length: count }, (_, i) => String(bytes.readBigInt64BE(8 * i)));
}

/** Keeps how a comparison ended, and of its table and direction the newest. Needs a transaction. */
export async function storeVerification(
  connection: Connection,
  tenant: string,
  agente: string,
  { muestras, ...result }: Verificacion,
): Promise<void> {
  const { tabla, direccion } = result;
  await connection.query(
    `INSERT INTO sync_verificaciones ("tenantId", agente, tabla, direccion, estado, "filasOrigen", "filasDestino", iguales, distintas,
       faltan, sobran, "enVuelo", reparadas, mensaje, inicio, fin, muestras)
     SELECT $1, $2, r.tabla, r.direccion, r.estado, r."filasOrigen", r."filasDestino", r.iguales, r.distintas, r.faltan, r.sobran,
       r."enVuelo", r.reparadas, r.mensaje, r.inicio, r.fin, $4
     FROM jsonb_to_record($3) AS r (tabla text, direccion text, estado text, "filasOrigen" bigint, "filasDestino" bigint,
       iguales bigint, distintas bigint, faltan bigint, sobran bigint, "enVuelo" bigint, reparadas bigint, mensaje text,
       inicio timestamptz, fin timestamptz)`,
    [tenant, agente, JSON.stringify(result), JSON.stringify(muestras)],
  );
  await connection.query(
    `DELETE FROM sync_verificaciones WHERE "tenantId" = $1 AND tabla = $2 AND direccion = $3 AND id <= (
       SELECT id FROM sync_verificaciones WHERE "tenantId" = $1 AND tabla = $2 AND direccion = $3
       ORDER BY id DESC OFFSET ${KEPT} LIMIT 1)`,
    [tenant, tabla, direccion],
  );
}
