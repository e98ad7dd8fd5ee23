import { createHash } from 'node:crypto';
import type { ConfiguracionTablas, Direccion, TablaBajada, TablaSubida } from '../../protocol/tenant-config/config.ts';
import type { connectionFields } from '../../protocol/tenant-config/connections.ts';
import { type FieldsTouching, sqlByPlaceOf } from '../../protocol/tenant-config/field.ts';
import { tableFields } from '../../protocol/tenant-config/settings.ts';
import { describeServer } from '../../protocol/tenant-config/sql-server-name.ts';
import { visibleLine } from '../../protocol/visible.ts';
import { type AgentError, agentError } from '../errors/agent-error.ts';
import type { SqlServerSettings } from '../sqlserver/sql-server.ts';
import { sensitiveByPlace } from './sensitive-pins.ts';

/**
 * The SQL that the backend has this agent run at SQL Server, as a person reads and approves it: what is run by where it is
 * run, such as `subida vista_proveedores, process`.
 */
export type SqlByPlace = Readonly<Record<string, string>>;

/** Where a connection leads and as whom: every field of it that says so. */
export type Endpoint = Pick<SqlServerSettings, FieldsTouching<typeof connectionFields, 'server'>>;

/** By the name of their connection; undefined: the one without. */
export type Endpoints = ReadonlyMap<string | undefined, Endpoint>;

const placeOfConnection = (name: string | undefined) => (name === undefined ? 'conexión' : `conexión ${name}`);

export function describeEndpoint({ host, port, database, user, ...others }: Endpoint): string {
  // A further field that says which server is meant does not compile until it is shown here.
  others satisfies Readonly<Record<string, never>>;
  return `${user}@${describeServer(host, port)}/${database}`;
}

/**
 * Returns all of it, the servers that it is run at, what SQL of our own is made from (targets, keys, ranges), and which
 * columns leave encrypted or come down decrypted.
 */
export function sqlByPlace(endpoints: Endpoints, tables: ConfiguracionTablas): SqlByPlace {
  const { tablasSubida = [], tablasBajada = [] } = tables;
  const all: Record<string, string> = {};
  for (const [name, endpoint] of endpoints) all[placeOfConnection(name)] = describeEndpoint(endpoint);
  for (const tabla of tablasSubida) Object.assign(all, sqlOfTable('upload', tabla));
  for (const tabla of tablasBajada) Object.assign(all, sqlOfTable('download', tabla));
  return { ...all, ...sensitiveByPlace(tables) };
}

/** By what its fields say that they touch (protocol/tenant-config/field.ts); `camposSensibles` are held against pins (sensitive-pins.ts). */
function sqlOfTable(direccion: Direccion, tabla: TablaSubida | TablaBajada): SqlByPlace {
  const name = `${direccion === 'upload' ? 'subida' : 'bajada'} ${tabla.nombre}`;
  const found = Object.entries(sqlByPlaceOf(tableFields[direccion], tabla));
  return Object.fromEntries(found.map(([place, text]) => [`${name}, ${place}`, text]));
}

/** Returns 16 hexadecimal digits that change with any of it. */
export function fingerprintOfSql(sql: SqlByPlace): string {
  const entries = Object.entries(sql).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(entries)).digest('hex').slice(0, 16);
}

/** Places whose SQL is another, is new or is gone. */
export function changedPlaces(before: SqlByPlace, after: SqlByPlace): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
    (place) => before[place] !== after[place],
  );
}

/**
 * Describes changes for a person: of each place that changed its lines, `-` those that are gone, `+` those that are
 * new, and between them those that stay. At most `maxLines` a place. Characters that a terminal would obey, or that
 * reorder text, are shown by their code: what is read is what is run.
 */
export function describeChanges(before: SqlByPlace, after: SqlByPlace, maxLines = Number.POSITIVE_INFINITY): string[] {
  return changedPlaces(before, after).flatMap((place) => {
    const old = linesOf(before[place]);
    const now = linesOf(after[place]);
    const gone = old.filter((line) => !now.includes(line)).map((line) => `  - ${line}`);
    const current = now.map((line) => `  ${old.includes(line) ? ' ' : '+'} ${line}`);
    const lines = [...gone, ...current];
    const shown = lines.slice(0, maxLines);
    if (lines.length > shown.length) shown.push(`    … y ${lines.length - shown.length} líneas más`);
    const what = before[place] === undefined ? 'nuevo' : after[place] === undefined ? 'ya no está' : 'cambió';
    return [`${visibleLine(place)} (${what}):`, ...shown.map(visibleLine)];
  });
}

function linesOf(sql: string | undefined): string[] {
  return sql === undefined ? [] : sql.split(/\r?\n/);
}

/** @throws {AgentError} `configuracion` where a person has not approved the server of this connection */
export function assertConnectionApproved(approved: SqlByPlace, name: string | undefined, endpoint: Endpoint): void {
  const place = placeOfConnection(name);
  const described = describeEndpoint(endpoint);
  if (approved[place] === described) return;
  throw notApproved(`La conexión ${described}`, [place]);
}

/** @throws {AgentError} `configuracion` where a person has not approved all SQL of this table as it is now */
export function assertTableApproved(
  approved: SqlByPlace,
  direccion: Direccion,
  tabla: TablaSubida | TablaBajada,
): void {
  const other = Object.entries(sqlOfTable(direccion, tabla)).filter(([place, sql]) => approved[place] !== sql);
  if (other.length > 0)
    throw notApproved(
      `El SQL de «${tabla.nombre}»`,
      other.map(([place]) => place),
    );
}

function notApproved(what: string, places: string[]): AgentError {
  return agentError('SQL_SIN_APROBAR', { que: what, donde: places.join('; ') });
}
