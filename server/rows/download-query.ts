import type { FieldDef } from 'pg';
import { SyncError } from '../../protocol/errors.ts';
import { type Esquema, primaryKeyOf, type TablaBajada } from '../../protocol/tenant-config/config.ts';
import { tipoCampoOfShortForm } from '../../protocol/tenant-config/tipo-campo.ts';
import { quoteLiteral, quoteName } from '../postgres/copy.ts';
import type { Connection } from '../postgres/pool.ts';
import { closeTenantCursor, describeTenantCursor, openTenantCursor } from '../postgres/tenant.ts';

/** How a download's `process.query` becomes one statement, and which columns SQL Server is told. */
export interface DownloadQuery {
  /** SELECT of one column `fila`: the row as JSON text without line breaks. */
  select: string;
  /** The same with a column `clave` before it, the JSON of the key's values; undefined where rows are not told by keys. */
  keyed: string | undefined;
  /** The configured schema as it stands, else one derived from the rows or from the query's types. */
  schema: { columns: { name: string; type: string; nullable?: boolean }[] };
}

/**
 * Prepares the query of a download, in the transaction that will run it. The short form
 * `parametros_maestros.tipo_campo=cuenta` yields the rows of that tipo_campo, inactive ones too: `codigo`, `nombre`,
 * `activo`, and the other columns by their name from parametros_json (those of the schema, else every key that a row
 * has). `ordered`: by codigo, for who reads them. A `#temp` table has no order, and along the index a large table takes
 * PostgreSQL half as long again.
 * `columnas`: names in lower case; the rows have no others, and nothing beside the schema's, and are told by their
 * keys.
 * The rows carry the names that the schema has: whatever the case and the length in PostgreSQL.
 * @throws {SyncError} SQL_FALLO for a query that cannot be sent as rows; PostgreSQL's own errors pass through
 */
export async function prepareDownloadQuery(
  connection: Connection,
  tenant: string,
  tabla: TablaBajada,
  { ordered, columnas }: { ordered: boolean; columnas?: ReadonlySet<string> },
): Promise<DownloadQuery> {
  const tipoCampo = tipoCampoOfShortForm(tabla.process.query);
  if (tipoCampo !== undefined) {
    const from = `parametros_maestros WHERE "tenantId" = ${quoteLiteral(tenant)} AND tipo_campo = ${quoteLiteral(tipoCampo)}`;
    const schema = chosen(tabla.schema ?? (await deriveSchema(connection, from, primaryKeyOf(tabla))), columnas);
    const members = schema.columns.map(({ name }) => ({ name, json: maestroJson(name) }));
    const row = `${jsonObject(members)} AS fila FROM ${from}`;
    const keyed = keyedSelect(tabla, members, row, columnas);
    return { select: `SELECT ${row}${ordered ? ' ORDER BY codigo' : ''}`, keyed, schema };
  }
  return describeQuery(connection, tabla, columnas);
}

/** The schema with these columns alone. */
function chosen<Schema extends DownloadQuery['schema']>(
  { columns }: Schema,
  columnas: ReadonlySet<string> | undefined,
): DownloadQuery['schema'] {
  return { columns: columns.filter(({ name }) => columnas?.has(name.toLowerCase()) !== false) };
}

/** A member of a row, and SQL of its value. */
interface Member {
  name: string;
  json: string;
}

const ownColumns = ['codigo', 'nombre', 'activo'];

/**
 * jsonb of a column of the short form. SQL Server's names know no case, the keys of parametros_json do: a row that has
 * not got the key as the schema spells it is looked through for another spelling.
 */
function maestroJson(name: string): string {
  const own = name.toLowerCase();
  if (ownColumns.includes(own)) return `to_json(${own})`;
  const key = quoteLiteral(name);
  const otherwise = `SELECT value FROM jsonb_each(parametros_json) WHERE lower(key) = lower(${key}) ORDER BY key LIMIT 1`;
  return `coalesce(parametros_json -> ${key}, (${otherwise}))`;
}

/**
 * A JSON object as text, without line breaks. Written by hand, since PostgreSQL cuts the aliases that `row_to_json` takes
 * for keys at 63 bytes, and a name of SQL Server has up to 128 characters; as fast, too.
 */
function jsonObject(members: readonly Member[]): string {
  const parts = members.map(({ name, json }, index) => {
    const key = quoteLiteral(`${index === 0 ? '{' : ','}${JSON.stringify(name)}:`);
    return `${key} || coalesce((${json})::text, 'null')`;
  });
  return parts.length === 0 ? `'{}'` : `${parts.join(' || ')} || '}'`;
}

/**
 * The agent finds the same text in the row (client/rows/line-keys.ts).
 * @throws {SyncError} SQL_FALLO where the rows have not got the key
 */
function keyedSelect(
  tabla: TablaBajada,
  members: readonly Member[],
  row: string,
  columnas: ReadonlySet<string> | undefined,
): string | undefined {
  // Another download may have a primaryKey that its rows have not got (the key of the table that is made).
  const keys = tabla.cambios === 'huellas' || columnas !== undefined ? primaryKeyOf(tabla) : [];
  const parts = keys.map((key) => {
    const member = members.find(({ name }) => name.toLowerCase() === key.toLowerCase());
    if (member !== undefined) return `coalesce((${member.json})::text, 'null')`;
    const reason = `La consulta no devuelve la columna «${key}» de primaryKey.`;
    throw new SyncError('SQL_FALLO', reason, { tabla: tabla.nombre, fase: 'process' });
  });
  return parts.length === 0 ? undefined : `SELECT ${parts.join(` || ',' || `)} AS clave, ${row}`;
}

/**
 * The columns of a short form that has no schema: every key that a row has. JSON says nothing of a key's type, and the values of one
 * day are no type either, so each is text, which holds whatever comes, with every digit; the agent takes the types of the target's own
 * columns, where that exists. The length of `codigo`, and of a key, is one that SQL Server can make a primary key of.
 */
async function deriveSchema(connection: Connection, from: string, keys: readonly string[]): Promise<Esquema> {
  const { rows } = await connection.query<{ name: string }>(`
    SELECT min(k.key COLLATE "C") AS name FROM (SELECT parametros_json FROM ${from}) p, jsonb_object_keys(p.parametros_json) AS k(key)
    WHERE NOT lower(k.key) = ANY ('{codigo,nombre,activo}')
    GROUP BY lower(k.key) ORDER BY 1`);
  const isKey = (name: string) => keys.some((key) => key.toLowerCase() === name.toLowerCase());
  return {
    columns: [
      { name: 'codigo', type: KEY_TEXT, nullable: false },
      { name: 'nombre', type: isKey('nombre') ? KEY_TEXT : 'NVARCHAR(MAX)', nullable: true },
      { name: 'activo', type: 'BIT', nullable: false },
      ...rows.map(({ name }) => ({ name, type: isKey(name) ? KEY_TEXT : 'NVARCHAR(MAX)', nullable: true })),
    ],
  };
}

const KEY_TEXT = 'NVARCHAR(4000)';

/** Longest text, in characters, that surely fits NVARCHAR(4000), which counts a character outside the BMP as two. */
const NVARCHAR_SAFE_LENGTH = 2000;

/** Type numbers of PostgreSQL's catalogue (pg_type.dat) that the wire treats apart. */
const oid = { bytea: 17, json: 114, varchar: 1043, bpchar: 1042, numeric: 1700 } as const;

const sqlTypeOf: Record<number, string> = {
  16: 'BIT',
  17: 'VARBINARY(MAX)',
  20: 'BIGINT',
  21: 'SMALLINT',
  23: 'INT',
  700: 'REAL',
  701: 'FLOAT',
  1082: 'DATE',
  1083: 'TIME(6)',
  1114: 'DATETIME2(6)',
  1184: 'DATETIMEOFFSET(6)',
  2950: 'UNIQUEIDENTIFIER',
};

async function describeQuery(
  connection: Connection,
  tabla: TablaBajada,
  columnas: ReadonlySet<string> | undefined,
): Promise<DownloadQuery> {
  const query = tabla.process.query.replace(/[;\s]+$/, '');
  const refuse = (reason: string) => new SyncError('SQL_FALLO', reason, { tabla: tabla.nombre, fase: 'process' });
  await openTenantCursor(connection, `SELECT * FROM (\n${query}\n) q`);
  const fields = await describeTenantCursor(connection);
  await closeTenantCursor(connection);
  const names = fields.map(({ name }) => name);
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (repeated !== undefined) throw refuse(`La consulta tiene dos columnas «${repeated}».`);
  const asked = tabla.schema?.columns.map(({ name }) => ({ name, field: findField(name, fields) })) ?? [];
  const missing = asked.find(({ field }) => field === undefined)?.name;
  if (missing !== undefined) {
    throw refuse(`La consulta no devuelve la columna «${missing}» de schema.columns (devuelve ${names.join(', ')}).`);
  }
  const taken = new Set(asked.map(({ field }) => field));
  const rest = fields.filter((field) => !taken.has(field)).map((field) => ({ name: field.name, field }));
  const offered = tabla.schema ?? {
    columns: fields.map(({ name, dataTypeID, dataTypeModifier }) => ({
      name,
      type: typeOf(dataTypeID, dataTypeModifier),
      nullable: true,
    })),
  };
  const schema = chosen(offered, columnas);
  const isSent = ({ name }: { name: string }) =>
    columnas === undefined || schema.columns.some((one) => one.name === name);
  const members = [...asked, ...rest].filter(isSent).map(({ name, field }) => ({ name, json: fieldJson(field!) }));
  const row = `${jsonObject(members)} AS fila FROM (\n${query}\n) r`;
  return { select: `SELECT ${row}`, keyed: keyedSelect(tabla, members, row, columnas), schema };
}

/**
 * The field of a query that a column of the schema means: of its name, of its name as PostgreSQL cuts it, or else the only
 * one that differs from it in case alone, as `SELECT Precio` does.
 */
function findField(name: string, fields: readonly FieldDef[]): FieldDef | undefined {
  const exact = fields.find((field) => field.name === name) ?? fields.find((field) => field.name === cutName(name));
  if (exact !== undefined) return exact;
  const alike = fields.filter((field) => field.name.toLowerCase() === cutName(name).toLowerCase());
  return alike.length === 1 ? alike[0] : undefined;
}

/** An identifier as PostgreSQL keeps it: 63 bytes of whole characters (NAMEDATALEN). */
function cutName(name: string): string {
  const bytes = Buffer.from(name);
  let end = Math.min(bytes.length, 63);
  while (end < bytes.length && (bytes[end]! & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}

function fieldJson({ name, dataTypeID }: FieldDef): string {
  const column = quoteName(name);
  // json keeps its line breaks, jsonb has none; bytes travel as base64, which PostgreSQL breaks into lines.
  if (dataTypeID === oid.json) return `${column}::jsonb`;
  if (dataTypeID === oid.bytea) return `to_json(translate(encode(${column}, 'base64'), E'\\n', ''))`;
  return `to_json(${column})`;
}

/** `modifier` holds length or precision and scale, plus the 4 bytes of a header (PostgreSQL's atttypmod). */
function typeOf(type: number, modifier: number): string {
  const given = modifier - 4;
  if ((type === oid.varchar || type === oid.bpchar) && given > 0 && given <= NVARCHAR_SAFE_LENGTH) {
    return `NVARCHAR(${given * 2})`;
  }
  if (type === oid.numeric && given >= 0) {
    const precision = (given >> 16) & 0xffff;
    const scale = given & 0x7ff;
    if (precision <= 38 && scale <= precision) return `DECIMAL(${precision},${scale})`;
  }
  return sqlTypeOf[type] ?? 'NVARCHAR(MAX)';
}
