import { randomBytes } from 'node:crypto';
import type { Modo, StatusResponse, UploadResult } from '../../protocol/api.ts';
import { SyncError } from '../../protocol/errors.ts';
import type { TablaSubida } from '../../protocol/tenant-config/config.ts';
import { type Connection, inTransaction } from '../postgres/pool.ts';
import { tipoCampoOf } from '../tenants/configurations.ts';
import { assertCurrent, findCommit, type Reading } from './commits.ts';
import { assertLedger } from './ledgers.ts';
import { isPart } from './schemas.ts';
import { createUploadTable, dropUploadTable, rowKeyOf } from './staging.ts';

/** A resumable upload. `resultado` is there once it is committed. */
export interface Upload {
  id: string;
  tenantId: string;
  tabla: string;
  tipoCampo: string;
  modo: Modo;
  resultado: UploadResult | null;
  /** As it was opened with; null: not said. */
  lectura: string | null;
  relojAtrasado: boolean | null;
  /** The description of its columns that it names. */
  esquema: string | null;
  /** Whether its rows are only some of the table's. */
  esParte: boolean | null;
  /** What it stands on, where it is asked again at the commit (`huellas`). */
  base: string | null;
  huellas: boolean;
  expiresAt: Date;
}

export interface StoredChunk {
  trozo: number;
  filas: number;
  digest: string;
}

/** What an upload is opened with. */
type NewUpload = { modo: Modo; id?: string; esquema?: string } & Reading;

/**
 * Opens an upload, or finds the one that the same request opened before (`id`: the client's name for it). Throws OCUPADO
 * when the tenant has `openMax` open ones, SUBIDA_CERRADA when `id` is the name of something else, and what assertCurrent
 * throws.
 */
export async function createUpload(
  connection: Connection,
  tenant: string,
  tabla: TablaSubida,
  { modo, id = randomBytes(16).toString('hex'), esquema, ...reading }: NewUpload,
  { openMax, expireHours }: { openMax: number; expireHours: number },
): Promise<Upload> {
  return inTransaction(connection, async () => {
    const { rows: open } = await connection.query<{ abiertas: number }>(
      `SELECT count(*)::integer AS abiertas FROM sync_uploads
       WHERE "tenantId" = $1 AND id <> $2 AND resultado IS NULL AND "expiresAt" > now()`,
      [tenant, id],
    );
    if (open[0]!.abiertas >= openMax) {
      const detail = `El tenant tiene ya ${openMax} subidas abiertas: ciérrelas o abandónelas.`;
      throw new SyncError('OCUPADO', detail, { tabla: tabla.nombre, retryAfter: 60 });
    }
    if ((await findCommit(connection, tenant, id)) !== undefined) throw nameTaken(id, tabla.nombre);
    await assertCurrent(connection, tenant, tabla.nombre, reading);
    await assertLedger(connection, tenant, { tabla: tabla.nombre, tipoCampo: tipoCampoOf(tabla) }, reading);
    const { lectura = null, relojAtrasado = null, base = null, huellas = false } = reading;
    const { rows } = await connection.query<Upload>(
      `INSERT INTO sync_uploads (id, "tenantId", tabla, "tipoCampo", modo, "expiresAt", lectura, "relojAtrasado", esquema, "esParte",
         base, huellas)
       VALUES ($1, $2, $3, $4, $5, now() + make_interval(hours => $6), $7, $8, $9, $10, $11, $12)
       ON CONFLICT (id) DO NOTHING RETURNING *`,
      [
        ...[id, tenant, tabla.nombre, tipoCampoOf(tabla), modo, expireHours, lectura, relojAtrasado],
        ...[esquema ?? null, isPart(modo, reading), base, huellas],
      ],
    );
    if (rows[0] === undefined) return findOpened(connection, tenant, tabla.nombre, modo, id);
    await createUploadTable(connection, id, rowKeyOf(tabla));
    return rows[0];
  });
}

async function findOpened(
  connection: Connection,
  tenant: string,
  tabla: string,
  modo: Modo,
  id: string,
): Promise<Upload> {
  const { rows } = await connection.query<Upload>(
    `SELECT * FROM sync_uploads WHERE id = $1 AND "tenantId" = $2 AND tabla = $3 AND modo = $4
       AND resultado IS NULL AND "expiresAt" > now()`,
    [id, tenant, tabla, modo],
  );
  if (rows[0] === undefined) throw nameTaken(id, tabla);
  return rows[0];
}

function nameTaken(id: string, tabla: string): SyncError {
  return new SyncError('SUBIDA_CERRADA', `«${id}» es ya el nombre de otra subida.`, { tabla });
}

/**
 * Locks the upload for the transaction: `share` while a chunk is stored, `update` for what ends it, so that the end
 * waits for chunks under way. One that was applied is known after it has expired, too (commits.ts), and needs no lock.
 * @throws {SyncError} SUBIDA_DESCONOCIDA
 */
export async function lockUpload(
  connection: Connection,
  tenant: string,
  id: string,
  strength: 'none' | 'share' | 'update',
): Promise<Upload> {
  const lock = { none: '', share: 'FOR KEY SHARE', update: 'FOR UPDATE' }[strength];
  const { rows } = await connection.query<Upload>(
    `SELECT * FROM sync_uploads WHERE id = $1 AND "tenantId" = $2 AND "expiresAt" > now() ${lock}`,
    [id, tenant],
  );
  if (rows[0] !== undefined) return rows[0];
  const done = await findCommit(connection, tenant, id);
  if (done === undefined) throw new SyncError('SUBIDA_DESCONOCIDA', `No hay una subida «${id}».`);
  const { createdAt: expiresAt, digest: _, resultado, ...rest } = done;
  const { tipoCampo } = resultado;
  const unsaid = { lectura: null, relojAtrasado: null, esquema: null, esParte: null, base: null, huellas: false };
  return { ...rest, ...unsaid, id, tenantId: tenant, tipoCampo, resultado, expiresAt };
}

/** Finds the chunks stored so far, in order. */
export async function findChunks(connection: Connection, id: string): Promise<StoredChunk[]> {
  const { rows } = await connection.query<StoredChunk>(
    'SELECT n AS trozo, filas, digest FROM sync_upload_chunks WHERE upload = $1 ORDER BY n',
    [id],
  );
  return rows;
}

/**
 * Takes chunk `n` for the transaction, or gives back the one that is stored. While another transaction stores the same
 * chunk, this waits for its end.
 */
export async function claimChunk(
  connection: Connection,
  id: string,
  n: number,
  digest: string,
): Promise<StoredChunk | undefined> {
  const { rowCount } = await connection.query(
    'INSERT INTO sync_upload_chunks (upload, n, digest, filas) VALUES ($1, $2, $3, 0) ON CONFLICT DO NOTHING',
    [id, n, digest],
  );
  if (rowCount === 1) return undefined;
  const { rows } = await connection.query<StoredChunk>(
    'SELECT n AS trozo, filas, digest FROM sync_upload_chunks WHERE upload = $1 AND n = $2',
    [id, n],
  );
  return rows[0];
}

/** Keeps how many rows chunk `n` had. */
export async function storeChunkRows(connection: Connection, id: string, n: number, rows: number): Promise<void> {
  await connection.query('UPDATE sync_upload_chunks SET filas = $3 WHERE upload = $1 AND n = $2', [id, n, rows]);
}

/** Moves the expiry on after a chunk; not at each one, which would make parallel chunks wait for each other. */
export async function extendUpload(connection: Connection, id: string, expireHours: number): Promise<void> {
  await connection.query(
    `UPDATE sync_uploads SET "expiresAt" = now() + make_interval(hours => $2)
     WHERE id = $1 AND resultado IS NULL AND "expiresAt" < now() + make_interval(hours => $2) - interval '10 minutes'`,
    [id, expireHours],
  );
}

/** Closes a locked upload: its result stays for repeated commits, its rows go. */
export async function finishUpload(connection: Connection, id: string, result: UploadResult): Promise<void> {
  await connection.query('UPDATE sync_uploads SET resultado = $2 WHERE id = $1', [id, JSON.stringify(result)]);
  await connection.query('DELETE FROM sync_upload_chunks WHERE upload = $1', [id]);
  await dropUploadTable(connection, id);
}

/** Forgets a locked upload and everything received for it. */
export async function deleteUpload(connection: Connection, id: string): Promise<void> {
  await connection.query('DELETE FROM sync_uploads WHERE id = $1', [id]);
  await connection.query('DELETE FROM sync_upload_chunks WHERE upload = $1', [id]);
  await dropUploadTable(connection, id);
}

/** Finds a tenant's uploads that are neither committed nor expired. */
export async function findOpenUploads(
  connection: Connection,
  tenant: string,
): Promise<StatusResponse['subidasAbiertas']> {
  const { rows } = await connection.query<{ id: string; tabla: string; trozos: number; filas: number; expira: Date }>(
    `SELECT u.id, u.tabla, count(c.n)::integer AS trozos, coalesce(sum(c.filas), 0)::float8 AS filas,
       u."expiresAt" AS expira
     FROM sync_uploads u LEFT JOIN sync_upload_chunks c ON c.upload = u.id
     WHERE u."tenantId" = $1 AND u.resultado IS NULL AND u."expiresAt" > now()
     GROUP BY u.id ORDER BY u."createdAt"`,
    [tenant],
  );
  return rows.map(({ expira, ...row }) => ({ ...row, expira: expira.toISOString() }));
}

/** Forgets uploads whose time is over, at most `max`; how many. Another process's janitor is not waited for. */
export async function deleteExpiredUploads(connection: Connection, max = 100): Promise<number> {
  let deleted = 0;
  while (deleted < max) {
    const found = await inTransaction(connection, async () => {
      const { rows } = await connection.query<{ id: string }>(
        'SELECT id FROM sync_uploads WHERE "expiresAt" <= now() LIMIT 1 FOR UPDATE SKIP LOCKED',
      );
      if (rows[0] !== undefined) await deleteUpload(connection, rows[0].id);
      return rows.length;
    });
    if (found === 0) break;
    deleted += 1;
  }
  return deleted;
}
