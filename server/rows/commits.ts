import { randomBytes } from 'node:crypto';
import type { Modo, OpenUpload, UploadResult } from '../../protocol/api.ts';
import { SyncError } from '../../protocol/errors.ts';
import type { Connection } from '../postgres/pool.ts';

/**
 * sync_commits: what uploads made of a table, and when their rows were read. Kept by number, not by time: an agent that comes
 * back after a year is answered what became of its last upload, and told whether its mark stands on what the centre has.
 */

/** Of each agent and table. */
const KEPT = 16;
/** The account of commits that nobody can ask for by a name: they push out nobody's. */
const NAMELESS = '-';

/** What an upload says of its reading (protocol/api.ts). */
export type Reading = { [Field in 'base' | 'lectura' | 'relojAtrasado' | 'huellas']?: OpenUpload[Field] | undefined };

/** An upload that has been applied. */
export interface Commit {
  /** undefined: it has none, and counts as the newest of its table all the same. */
  id: string | undefined;
  tabla: string;
  /** Of X-Sync-Agent; who is not registered shares one account with all such. */
  agente: string | undefined;
  lectura?: string | undefined;
  modo?: Modo;
  /** Of a one-shot upload: what it asked, and the SHA-256 of its body. Of one in chunks the SHA-256 of what its commit stated. */
  peticion?: string | undefined;
  digest?: string | null;
  resultado?: UploadResult;
}

/** Keeps it in the open transaction, and forgets the oldest of the same agent and table. */
export async function recordCommit(connection: Connection, tenant: string, commit: Commit): Promise<void> {
  const { id, tabla, agente, lectura, modo, peticion, digest, resultado } = commit;
  const name = id ?? randomBytes(16).toString('hex');
  await connection.query(
    `WITH quien AS (
       SELECT CASE WHEN $10 THEN '${NAMELESS}'
         ELSE coalesce((SELECT id FROM sync_agents WHERE "tenantId" = $1 AND id = $4), '') END AS agente
     ), hecho AS (
       INSERT INTO sync_commits ("tenantId", id, tabla, agente, lectura, modo, peticion, digest, resultado, vigilancia)
       SELECT $1, $2, $3, agente, $5, $6, $7, $8, $9, sync_vigilancia() FROM quien ON CONFLICT DO NOTHING
     )
     DELETE FROM sync_commits c USING quien
     WHERE c."tenantId" = $1 AND c.tabla = $3 AND c.agente = quien.agente AND c.orden <= (
       SELECT v.orden FROM sync_commits v WHERE v."tenantId" = $1 AND v.tabla = $3 AND v.agente = quien.agente
       ORDER BY v.orden DESC OFFSET ${KEPT - 1} LIMIT 1)`,
    [
      ...[tenant, name, tabla, agente ?? null, lectura === undefined ? null : sortable(lectura), modo ?? null],
      ...[peticion ?? null, digest ?? null, resultado === undefined ? null : JSON.stringify(resultado)],
      id === undefined,
    ],
  );
}

export interface KnownCommit {
  tabla: string;
  modo: Modo;
  /** null: of a server of an earlier version. */
  digest: string | null;
  resultado: UploadResult;
  createdAt: Date;
}

/** Finds the applied upload of that name, whenever that was. */
export async function findCommit(connection: Connection, tenant: string, id: string): Promise<KnownCommit | undefined> {
  const { rows } = await connection.query<KnownCommit>(
    `SELECT tabla, modo, digest, resultado, "createdAt" FROM sync_commits
     WHERE "tenantId" = $1 AND id = $2 AND resultado IS NOT NULL`,
    [tenant, id],
  );
  return rows[0];
}

/**
 * For the latter to hold, the caller holds the lock of the table.
 * @throws {SyncError} GENERACION_DESCONOCIDA when the mark that a reading began at stands on what this database does
 * not have, LECTURA_ANTIGUA when a newer reading has been applied
 */
export async function assertCurrent(
  connection: Connection,
  tenant: string,
  tabla: string,
  { base, lectura, relojAtrasado }: Reading,
): Promise<void> {
  if (base === undefined && lectura === undefined) return;
  const { rows } = await connection.query<{ conocida: boolean; ultima: string | null }>(
    `SELECT $3::text IS NULL OR EXISTS (
         SELECT FROM sync_commits WHERE "tenantId" = $1 AND tabla = $2 AND id = $3) AS conocida,
       (SELECT lectura FROM sync_commits WHERE "tenantId" = $1 AND tabla = $2 AND lectura IS NOT NULL
        ORDER BY orden DESC LIMIT 1) AS ultima`,
    [tenant, tabla, base ?? null],
  );
  const { conocida, ultima } = rows[0]!;
  if (!conocida) {
    const detail = `La marca de «${tabla}» parte de un estado que esta base de datos no tiene: se restauró, o es otra.`;
    throw new SyncError('GENERACION_DESCONOCIDA', detail, { tabla });
  }
  if (lectura === undefined || ultima === null || relojAtrasado === true || sortable(lectura) >= ultima) return;
  const detail = `Lo leído de «${tabla}» a las ${lectura} es más antiguo que lo aplicado ya, leído a las ${ultima}Z.`;
  throw new SyncError('LECTURA_ANTIGUA', detail, { tabla, lectura: `${ultima}Z` });
}

/**
 * Checks what an agent's marks stand on, by table: the generation where the database has it, null where not. A mark
 * without one (of an agent before there were any) gets one, provided the table is one of `adoptable` and has rows.
 */
export async function checkGenerations(
  connection: Connection,
  tenant: string,
  agente: string | undefined,
  tablas: Readonly<Record<string, string | null>>,
  adoptable: ReadonlyMap<string, { tipoCampo: string }>,
): Promise<Record<string, string | null>> {
  const { rows } = await connection.query<{ tabla: string; generacion: string | null; conocida: boolean }>(
    `SELECT t.tabla, t.generacion, EXISTS (
       SELECT FROM sync_commits c WHERE c."tenantId" = $1 AND c.tabla = t.tabla AND c.id = t.generacion) AS conocida
     FROM unnest($2::text[], $3::text[]) AS t (tabla, generacion)`,
    [tenant, Object.keys(tablas), Object.values(tablas)],
  );
  const answer: [string, string | null][] = [];
  for (const { tabla, generacion, conocida } of rows) {
    if (generacion !== null) answer.push([tabla, conocida ? generacion : null]);
    else if (adoptable.has(tabla)) {
      answer.push([tabla, await adopt(connection, tenant, agente, tabla, adoptable.get(tabla)!.tipoCampo)]);
    }
  }
  return Object.fromEntries(answer);
}

async function adopt(
  connection: Connection,
  tenant: string,
  agente: string | undefined,
  tabla: string,
  tipoCampo: string,
): Promise<string | null> {
  const { rowCount } = await connection.query(
    'SELECT FROM parametros_maestros WHERE "tenantId" = $1 AND tipo_campo = $2 LIMIT 1',
    [tenant, tipoCampo],
  );
  // Whatever had been uploaded is gone: the mark says nothing.
  if (rowCount === 0) return null;
  const id = randomBytes(16).toString('hex');
  await recordCommit(connection, tenant, { id, tabla, agente });
  return id;
}

/** `2026-03-01T10:00:00.5Z` as text that sorts as the time does. */
function sortable(lectura: string): string {
  const [seconds, fraction = ''] = lectura.replace('Z', '').split('.');
  return `${seconds}.${fraction.padEnd(7, '0')}`;
}
