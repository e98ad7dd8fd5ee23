import type { Esquema, TablaBajada } from '../../protocol/config.ts';
import { SyncError } from '../../protocol/errors.ts';
import { quoteLiteral, quoteName } from '../postgres/copy.ts';
import type { Connection } from '../postgres/pool.ts';

/** How a download's `process.query` becomes one statement, and which columns SQL Server is told. */
export interface DownloadQuery {
  /** SELECT of one column `fila`: the row as JSON text without line breaks. */
  select: string;
  /** The configured schema as it stands, else one derived from the rows or from the query's types. */
  schema: { columns: { name: string; type: string; nullable?: boolean }[] };
}

const shortForm = /^\s*parametros_maestros\.tipo_campo\s*=\s*(?:'([^']+)'|([^\s';]+))\s*;?\s*$/i;

/** Functions that would let a query run SQL of its own or change the session that it runs in. */
const forbidden =
  /\b(set_config|query_to_xml\w*|cursor_to_xml\w*|database_to_xml\w*|schema_to_xml\w*|dblink\w*)\b|\bu&"/i;

/**
 * Prepares the query of a download, in the transaction that will run it. The short form
 * `parametros_maestros.tipo_campo=cuenta` yields the rows of that tipo_campo, inactive ones too, ordered by codigo:
 * `codigo`, `nombre`, `activo`, and the other columns by their name from parametros_json (those of the schema, else
 * every key that a row has).
 *
 * Throws SQL_FALLO for a query that cannot be sent as rows; PostgreSQL's own errors pass through.
 */
export async function prepareDownloadQuery(
  connection: Connection,
  tenant: string,
  tabla: TablaBajada,
): Promise<DownloadQuery> {
  const match = shortForm.exec(tabla.process.query);
  if (match !== null) {
    const from = `parametros_maestros WHERE "tenantId" = ${quoteLiteral(tenant)} AND tipo_campo = ${quoteLiteral(match[1] ?? match[2]!)}`;
    const schema = tabla.schema ?? (await deriveSchema(connection, from));
    const columns = schema.columns.map(({ name }) => `${maestroColumn(name)} AS ${quoteName(name)}`);
    return { select: selectJson(`SELECT ${columns.join(', ')} FROM ${from} ORDER BY codigo`), schema };
  }
  return describeQuery(connection, tabla);
}

const ownColumns = ['codigo', 'nombre', 'activo'];

function maestroColumn(name: string): string {
  const own = name.toLowerCase();
  return ownColumns.includes(own) ? own : `parametros_json -> ${quoteLiteral(name)}`;
}

function selectJson(rows: string): string {
  return `SELECT row_to_json(q)::text AS fila FROM (${rows}) q`;
}

/** Longest text, in characters, that surely fits NVARCHAR(4000), which counts a character outside the BMP as two. */
const NVARCHAR_SAFE_LENGTH = 2000;

async function deriveSchema(connection: Connection, from: string): Promise<Esquema> {
  const { rows } = await connection.query<{
    name: string;
    clase: string;
    largo: number;
    escala: number;
    enteros: number;
  }>(`
    SELECT name, CASE WHEN bool_and(tipo = 'boolean') THEN 'boolean' WHEN bool_and(tipo = 'number') THEN 'number' END
             AS clase,
           max(length(texto))::integer AS largo,
           coalesce(max(CASE WHEN tipo = 'number' THEN scale(texto::numeric) END), 0)::integer AS escala,
           coalesce(max(CASE WHEN tipo = 'number' THEN length(trunc(abs(texto::numeric))::text) END), 0)::integer AS enteros
    FROM (SELECT k.key AS name, jsonb_typeof(k.value) AS tipo, k.value #>> '{}' AS texto
          FROM (SELECT parametros_json FROM ${from}) p, jsonb_each(p.parametros_json) k
          WHERE k.value <> 'null') valores
    WHERE NOT lower(name) = ANY ('{codigo,nombre,activo}')
    GROUP BY name ORDER BY name COLLATE "C"`);
  const { rows: own } = await connection.query<{ codigo: number | null; nombre: number | null }>(
    `SELECT max(length(codigo)) AS codigo, max(length(nombre)) AS nombre FROM ${from}`,
  );
  return {
    columns: [
      { name: 'codigo', type: textType(own[0]?.codigo ?? 0), nullable: false },
      { name: 'nombre', type: textType(own[0]?.nombre ?? 0), nullable: true },
      { name: 'activo', type: 'BIT', nullable: false },
      ...rows.map((row) => ({ name: row.name, type: derivedType(row), nullable: true })),
    ],
  };
}

function derivedType(row: { clase: string | null; largo: number; escala: number; enteros: number }): string {
  if (row.clase === 'boolean') return 'BIT';
  if (row.clase !== 'number') return textType(row.largo);
  if (row.escala === 0 && row.enteros <= 18) return 'BIGINT';
  return row.enteros + row.escala <= 38 ? `DECIMAL(38,${row.escala})` : textType(row.largo);
}

function textType(length: number): string {
  return length <= NVARCHAR_SAFE_LENGTH ? 'NVARCHAR(4000)' : 'NVARCHAR(MAX)';
}

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

async function describeQuery(connection: Connection, tabla: TablaBajada): Promise<DownloadQuery> {
  const query = tabla.process.query.replace(/[;\s]+$/, '');
  const refuse = (reason: string) => new SyncError('SQL_FALLO', reason, { tabla: tabla.nombre, fase: 'process' });
  const bad = forbidden.exec(query)?.[0];
  if (bad !== undefined) throw refuse(`La consulta no puede usar «${bad}».`);
  // The extended protocol takes one statement only, so what passes here holds no second one for COPY to run.
  const { fields } = await connection.query({
    text: `SELECT * FROM (\n${query}\n) q LIMIT 0`,
    rowMode: 'array',
    queryMode: 'extended',
  } as { text: string; rowMode: 'array' });
  const names = fields.map(({ name }) => name);
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (repeated !== undefined) throw refuse(`La consulta tiene dos columnas «${repeated}».`);
  const columns = fields.map(({ name, dataTypeID }) => {
    const column = quoteName(name);
    // json keeps its line breaks, jsonb has none; bytes travel as base64, which PostgreSQL breaks into lines.
    if (dataTypeID === oid.json) return `${column}::jsonb AS ${column}`;
    if (dataTypeID === oid.bytea) return `translate(encode(${column}, 'base64'), E'\\n', '') AS ${column}`;
    return column;
  });
  const schema = tabla.schema ?? {
    columns: fields.map(({ name, dataTypeID, dataTypeModifier }) => ({
      name,
      type: typeOf(dataTypeID, dataTypeModifier),
      nullable: true,
    })),
  };
  return { select: selectJson(`SELECT ${columns.join(', ')} FROM (\n${query}\n) r`), schema };
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
