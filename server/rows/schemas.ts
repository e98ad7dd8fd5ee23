import type { EsquemaCambiado, Modo } from '../../protocol/api.ts';
import { SyncError } from '../../protocol/errors.ts';
import {
  type Cambio,
  type Columna,
  changesBetween,
  decide,
  describeCambios,
  huellaOf,
} from '../../protocol/rows/drift.ts';
import { primaryKeyOf, type TablaSubida } from '../../protocol/tenant-config/config.ts';
import type { Connection } from '../postgres/pool.ts';

/**
 * sync_esquemas: how the columns of an upload table are described, one row for each description. One is in force (`vigente`); an
 * upload of another one evolves it, waits for an administrator, or is refused (drift.ts decides). A description that comes again
 * finds its row again, so two agents that describe a table in two ways make two rows, however often they take turns.
 */

type Estado = 'anunciado' | 'vigente' | 'pendiente' | 'rechazado' | 'aprobado' | 'anterior';

/** Changes in an answer; all of them are in the table. */
const TOLD_MAX = 20;
/** Rows of a table that are neither in force nor wait for somebody. */
const KEPT = 16;

interface Known {
  id: string;
  huella: string;
  estado: Estado;
  agente: string;
  primaryKey: string[];
  cambios: Cambio[];
  desde: Date;
}

/** Who describes, or uploads. `agente`: of X-Sync-Agent; who is not registered is nobody. */
interface Described {
  tenant: string;
  tabla: TablaSubida;
  agente: string | undefined;
}

/**
 * Keeps a description, for uploads that name it. Returns its digest, and the refusal where the table's policy stops at it: it
 * waits for an administrator then. Needs a transaction, which is to be committed before the refusal is thrown.
 */
export async function announceSchema(
  connection: Connection,
  { tenant, tabla, agente }: Described,
  columnas: readonly Columna[],
): Promise<{ huella: string; refused?: SyncError }> {
  const huella = huellaOf(columnas);
  const primaryKey = primaryKeyOf(tabla);
  const who = await registeredOf(connection, tenant, agente);
  await connection.query(
    `INSERT INTO sync_esquemas ("tenantId", conexion, tabla, huella, "primaryKey", columnas, agente)
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
    [
      ...[tenant, tabla.conexion ?? '', tabla.nombre, huella],
      ...[JSON.stringify(primaryKey), JSON.stringify(columnas), who],
    ],
  );
  await prune(connection, tenant, tabla.nombre, huella);
  const known = await findKnown(connection, tenant, tabla.nombre, huella);
  const row = known.find((one) => one.huella === huella && sameKey(one, primaryKey))!;
  const base = known.find(({ estado }) => estado === 'vigente');
  if (base === undefined || base.id === row.id) return { huella };
  const cambios = await changesOf(connection, base, row);
  if (cambios.length === 0 || isApproved(row, cambios)) return { huella };
  const decision = decide(cambios, tabla.esquema, row.estado === 'pendiente');
  if (decision.kind !== 'stop') return { huella };
  const id = await hold(connection, row, 'rechazado', cambios, who);
  return { huella, refused: refusal(tenant, tabla, id, cambios) };
}

/** What an upload names, and whether it is only a part of the table's rows. */
export interface SchemaNamed {
  huella: string | undefined;
  agente: string | undefined;
  isPart: boolean;
}

/** Returns whether the rows of an upload are only some of the table's: it stands on what is there. */
export function isPart(
  modo: Modo,
  { base, huellas }: { base?: string | undefined; huellas?: boolean | undefined },
): boolean {
  return base !== undefined && (modo !== 'completo' || huellas === true);
}

export interface SchemaTaken {
  /** Columns that the rows no longer have and whose values stay: they wait for an administrator. */
  kept: string[];
  /** What changed; undefined: nothing. */
  esquema?: EsquemaCambiado;
}

/**
 * Decides what an upload's columns mean for the table, in the transaction that applies it and under the lock of its
 * tipo_campo.
 * @throws {SyncError} ESQUEMA_DESCONOCIDO, ESQUEMA_CAMBIADO; GENERACION_DESCONOCIDA: what was approved needs every row
 */
export async function takeSchema(
  connection: Connection,
  tenant: string,
  tabla: TablaSubida,
  { huella, agente, isPart }: SchemaNamed,
): Promise<SchemaTaken> {
  const known = await findKnown(connection, tenant, tabla.nombre, huella);
  // Nobody says what its rows have: what they lack of what waits stays.
  if (huella === undefined) return { kept: keptOf(known) };
  const primaryKey = primaryKeyOf(tabla);
  const base = known.find(({ estado }) => estado === 'vigente');
  const row =
    known.find((one) => one.huella === huella && sameKey(one, primaryKey)) ??
    (await copyForKey(
      connection,
      known.find((one) => one.huella === huella),
      primaryKey,
    ));
  if (row === undefined) {
    const detail = `Nadie ha descrito las columnas de «${tabla.nombre}» que nombra la subida.`;
    throw new SyncError('ESQUEMA_DESCONOCIDO', detail, { tabla: tabla.nombre });
  }
  const who = known.some(({ estado }) => estado !== 'vigente') ? await registeredOf(connection, tenant, agente) : '';
  await retire(connection, known, row, who);
  if (base?.id === row.id) return { kept: [] };
  if (base === undefined) {
    await enforce(connection, undefined, row);
    return { kept: [] };
  }
  const cambios = await changesOf(connection, base, row);
  if (cambios.length === 0) {
    if (WAITING.has(row.estado)) await setEstado(connection, row.id, 'anterior');
    return { kept: [] };
  }
  const told = { nueva: true, total: cambios.length, cambios: cambios.slice(0, TOLD_MAX) };
  if (isApproved(row, cambios)) {
    if (isPart && needsEveryRow(cambios)) throw wholeWanted(tabla);
    await enforce(connection, base, row);
    return { kept: [], esquema: { id: row.id, estado: 'vigente', ...told } };
  }
  const decision = decide(cambios, tabla.esquema, row.estado === 'pendiente');
  if (decision.kind === 'stop') throw refusal(tenant, tabla, row.id, cambios);
  if (decision.kind === 'evolve') {
    // Rows that came while it waited have the last values of what went, and do not come again by themselves.
    if (isPart && keptOf(known).some((columna) => goneIn({ cambios }).includes(columna))) throw wholeWanted(tabla);
    await enforce(connection, base, row);
    return { kept: [], esquema: { id: row.id, estado: 'vigente', ...told } };
  }
  const nueva = row.estado !== 'pendiente' || !sameCambios(row.cambios, cambios);
  const id = nueva ? await hold(connection, row, 'pendiente', cambios, who) : row.id;
  return { kept: goneIn({ cambios }), esquema: { id, estado: 'pendiente', ...told, nueva } };
}

const WAITING: ReadonlySet<Estado> = new Set(['pendiente', 'rechazado', 'aprobado']);

function keptOf(known: readonly Known[]): string[] {
  return known.filter(({ estado }) => WAITING.has(estado)).flatMap(goneIn);
}

function goneIn({ cambios }: Pick<Known, 'cambios'>): string[] {
  return cambios.filter(({ clase }) => clase === 'quitada').map(({ columna }) => columna);
}

/** Returns whether rows that did not change have to come again, so that the approved change is true of them too. */
export function needsEveryRow(cambios: readonly Cambio[]): boolean {
  return cambios.some(({ clase }) => clase === 'quitada' || clase === 'clave');
}

function isApproved(row: Known, cambios: readonly Cambio[]): boolean {
  return row.estado === 'aprobado' && sameCambios(row.cambios, cambios);
}

function sameCambios(one: readonly Cambio[], other: readonly Cambio[]): boolean {
  const text = (cambios: readonly Cambio[]) =>
    JSON.stringify(cambios.map(({ clase, columna, antes, ahora }) => [clase, columna, antes ?? null, ahora ?? null]));
  return text(one) === text(other);
}

function sameKey({ primaryKey }: Known, other: readonly string[]): boolean {
  return JSON.stringify(primaryKey) === JSON.stringify(other);
}

function refusal(tenant: string, { nombre }: TablaSubida, id: string, cambios: readonly Cambio[]): SyncError {
  const detail = `Las columnas de «${nombre}» cambiaron: ${describeCambios(cambios)} (tenant ${tenant}, id ${id}).`;
  return new SyncError('ESQUEMA_CAMBIADO', detail, { tabla: nombre });
}

function wholeWanted({ nombre }: TablaSubida): SyncError {
  const detail = `Las columnas de «${nombre}» cambiaron, y ya no se espera a nadie: hacen falta todas sus filas.`;
  return new SyncError('GENERACION_DESCONOCIDA', detail, { tabla: nombre });
}

/** What is in force, what waits, and every row of `huella`; locked, so that an approval is before or after a commit. */
async function findKnown(
  connection: Connection,
  tenant: string,
  tabla: string,
  huella: string | undefined,
): Promise<Known[]> {
  const { rows } = await connection.query<Known>(
    `SELECT id, huella, estado, agente, "primaryKey", cambios, desde FROM sync_esquemas
     WHERE "tenantId" = $1 AND tabla = $2 AND (huella = $3 OR estado NOT IN ('anunciado', 'anterior')) ORDER BY id FOR UPDATE`,
    [tenant, tabla, huella ?? null],
  );
  return rows;
}

async function changesOf(connection: Connection, base: Known, row: Known): Promise<Cambio[]> {
  const { rows } = await connection.query<{ id: string; columnas: Columna[] }>(
    'SELECT id, columnas FROM sync_esquemas WHERE id = ANY ($1)',
    [[base.id, row.id]],
  );
  const describe = ({ id, primaryKey }: Known) => ({
    columnas: rows.find((one) => one.id === id)!.columnas,
    primaryKey,
  });
  return changesBetween(describe(base), describe(row));
}

/** The same columns under the primaryKey that the configuration has now. */
async function copyForKey(
  connection: Connection,
  row: Known | undefined,
  primaryKey: readonly string[],
): Promise<Known | undefined> {
  if (row === undefined) return undefined;
  const { rows } = await connection.query<Known>(
    `INSERT INTO sync_esquemas ("tenantId", conexion, tabla, huella, "primaryKey", columnas, agente)
     SELECT "tenantId", conexion, tabla, huella, $2, columnas, agente FROM sync_esquemas WHERE id = $1
     RETURNING id, huella, estado, agente, "primaryKey", cambios, desde`,
    [row.id, JSON.stringify(primaryKey)],
  );
  return rows[0];
}

/** Puts `row` in force in the place of `base`. */
async function enforce(connection: Connection, base: Known | undefined, row: Known): Promise<void> {
  if (base !== undefined) await setEstado(connection, base.id, 'anterior');
  await connection.query(
    `UPDATE sync_esquemas e SET estado = 'vigente', cambios = '[]', desde = now(), hasta = NULL, version = 1 + (
       SELECT coalesce(max(version), 0) FROM sync_esquemas v WHERE v."tenantId" = e."tenantId" AND v.tabla = e.tabla)
     WHERE id = $1`,
    [row.id],
  );
}

async function setEstado(connection: Connection, id: string, estado: 'anterior'): Promise<void> {
  await connection.query(`UPDATE sync_esquemas SET estado = $2, cambios = '[]', hasta = now() WHERE id = $1`, [
    id,
    estado,
  ]);
}

/** Has it wait, under a new id: an approval is of what was shown. */
async function hold(
  connection: Connection,
  row: Known,
  estado: 'pendiente' | 'rechazado',
  cambios: readonly Cambio[],
  agente: string,
): Promise<string> {
  if (row.estado === estado && sameCambios(row.cambios, cambios)) return row.id;
  const { rows } = await connection.query<{ id: string }>(
    `UPDATE sync_esquemas SET id = sync_nuevo_id(), estado = $2, cambios = $3, agente = $4, desde = now(), hasta = NULL,
       "resueltaPor" = NULL, "resueltaAt" = NULL
     WHERE id = $1 RETURNING id`,
    [row.id, estado, JSON.stringify(cambios), agente],
  );
  return rows[0]!.id;
}

/** What this agent had waiting and describes otherwise by now. Another agent's goes on waiting. */
async function retire(connection: Connection, known: readonly Known[], row: Known, agente: string): Promise<void> {
  const over = known.filter((one) => WAITING.has(one.estado) && one.id !== row.id && one.agente === agente);
  for (const { id } of over) await setEstado(connection, id, 'anterior');
}

/** Forgets the oldest descriptions that nothing stands on, but `huella`. */
async function prune(connection: Connection, tenant: string, tabla: string, huella: string): Promise<void> {
  await connection.query(
    `DELETE FROM sync_esquemas WHERE id IN (
       SELECT id FROM sync_esquemas
       WHERE "tenantId" = $1 AND tabla = $2 AND huella <> $3 AND estado IN ('anunciado', 'anterior')
       ORDER BY coalesce(hasta, desde) DESC, id OFFSET ${KEPT})`,
    [tenant, tabla, huella],
  );
}

async function registeredOf(connection: Connection, tenant: string, agente: string | undefined): Promise<string> {
  if (agente === undefined) return '';
  const { rows } = await connection.query<{ id: string }>(
    'SELECT id FROM sync_agents WHERE "tenantId" = $1 AND id = $2',
    [tenant, agente],
  );
  return rows[0]?.id ?? '';
}
