import { timingSafeEqual } from 'node:crypto';
import { hashApiKey, makeApiKey } from '../../protocol/api-key.ts';
import { SyncError } from '../../protocol/errors.ts';
import { isDatabaseError } from '../postgres/errors.ts';
import { type Connection, inTransaction } from '../postgres/pool.ts';
import { commitDurably, setTimeouts } from '../postgres/tenant.ts';
import { type Author, setAuthor } from './audit.ts';
import { type Configuration, configurationColumns } from './configurations.ts';
import { NO_STAMP, type ParsedTables, ROW_STAMP } from './parsed-tables.ts';

/** Keys of one tenant that may be in force at a time. */
export const KEYS_MAX = 20;

/** The few connections for short work are not to wait long for somebody's open transaction. */
const LOCK_MS = 5000;

/** A key is renewed when so much of its time is left, or a third of its life if that is less. */
const RENEW_DAYS = 14;

const columnList = configurationColumns
  .filter((name) => name !== 'configuracionTablas')
  .map((name) => `c."${name}"`)
  .join(', ');

/** When the key ends: NULL is never. "revokedAt" may lie ahead (a revocation with a grace period). */
const END = 'least(k."expiresAt", k."revokedAt", k."graceUntil")';
const IN_FORCE = `coalesce(${END} > now(), true)`;

/** A key as `key list` shows it; the key itself is nowhere. */
export interface ApiKey {
  id: string;
  tenantId: string;
  nombre: string | null;
  createdAt: Date;
  lastUsedAt: Date | null;
  /** When it ends, or ended, whatever the reason. */
  end: Date | null;
  inForce: boolean;
  revokedAt: Date | null;
  /** The key in whose place it came. */
  rotatedFrom: string | null;
}

/** The key of a request. */
export interface KeyInUse {
  id: string;
  end: Date | null;
  /** Whether its time is short and the agent may ask for another in its place: not for one that was revoked. */
  renew: boolean;
}

/**
 * Makes a key `sk_live_…` for a tenant, valid for `days` (for ever when null). It is returned this once; only its hash
 * is kept.
 * @throws {SyncError} CONFIG_NO_ENCONTRADA when there is no such tenant, DEMASIADAS_CLAVES
 */
export async function createApiKey(
  connection: Connection,
  tenant: string,
  { nombre = null, days = null }: { nombre?: string | null; days?: number | null } = {},
): Promise<string> {
  const key = makeApiKey();
  return inTransaction(connection, async () => {
    if (!(await lockTenant(connection, tenant))) {
      throw new SyncError('CONFIG_NO_ENCONTRADA', `El tenant «${tenant}» no existe.`);
    }
    await assertRoomForKey(connection, tenant);
    await connection.query(
      `INSERT INTO sync_api_keys ("tenantId", nombre, hash, "expiresAt")
       VALUES ($1, $2, $3, now() + make_interval(days => $4))`,
      [tenant, nombre, hashApiKey(key), days],
    );
    return key;
  });
}

/**
 * Keys of a tenant are counted, added and revoked by one transaction at a time. Returns whether the tenant exists. Throws
 * PostgreSQL's 55P03 when others take too long.
 */
async function lockTenant(connection: Connection, tenant: string): Promise<boolean> {
  await setTimeouts(connection, { lockMs: LOCK_MS });
  const { rowCount } = await connection.query(
    'SELECT FROM sync_configurations WHERE "tenantId" = $1 FOR NO KEY UPDATE',
    [tenant],
  );
  return rowCount === 1;
}

async function assertRoomForKey(connection: Connection, tenant: string): Promise<void> {
  const { rows } = await connection.query<{ vigentes: number }>(
    `SELECT count(*)::integer AS vigentes FROM sync_api_keys k WHERE k."tenantId" = $1 AND ${IN_FORCE}`,
    [tenant],
  );
  if (rows[0]!.vigentes >= KEYS_MAX) {
    throw new SyncError('DEMASIADAS_CLAVES', `El tenant «${tenant}» tiene ya ${KEYS_MAX} claves en vigor.`);
  }
}

/**
 * Finds the tenant `tenant` and its key `key`, if the key is in force and that tenant's, and `agreed`: what else has to
 * hold. One indexed query whatever is wrong, which then finds nothing, so that neither the answer nor its time tells
 * what it was.
 * The index finds by 8 bytes of the hash; all of it is compared in constant time. The tables of the configuration are
 * sent where `parsed` does not hold those of the row as it is.
 */
export async function findByKey(
  connection: Connection,
  { tenant, key, agreed }: { tenant: string; key: string; agreed: boolean },
  parsed: ParsedTables,
): Promise<{ tenant: Configuration; key: KeyInUse; use: UseOfKey } | undefined> {
  const hash = hashApiKey(key);
  const held = parsed.find(tenant);
  const { rows } = await connection.query<FoundByKey>(
    `SELECT ${columnList}, ${ROW_STAMP} AS stamp,
            CASE WHEN ${ROW_STAMP} <> $5 THEN c."configuracionTablas"::text END AS tables,
            k.id AS "keyId", k.hash, ${END} AS "end", k."rotatedFrom",
            k."lastUsedAt" IS NULL AS first,
            coalesce(k."lastUsedAt" <= now() - interval '1 minute', true) AS "isDue",
            coalesce(k."revokedAt" IS NULL
              AND ${END} - now() < least(make_interval(days => $3), (${END} - k."createdAt") / 3), false) AS renew
     FROM sync_api_keys k JOIN sync_configurations c ON c."tenantId" = k."tenantId"
     WHERE substr(k.hash, 1, 8) = $1 AND k."tenantId" = $2 AND $4::boolean AND ${IN_FORCE}`,
    // Always as long: what is held of a tenant must not be told by the bytes of a refusal.
    [hash.subarray(0, 8), tenant, RENEW_DAYS, agreed ? 't' : 'f', held?.stamp ?? NO_STAMP],
  );
  const row = rows.find((one) => timingSafeEqual(one.hash, hash));
  if (row === undefined) return undefined;
  const { keyId: id, hash: _, end, renew, rotatedFrom, first, isDue, stamp, tables, ...rest } = row;
  const configuracionTablas = tables === null ? held!.tables : parsed.parse(tenant, stamp, tables);
  return { tenant: { ...rest, configuracionTablas }, key: { id, end, renew }, use: { rotatedFrom, first, isDue } };
}

type FoundByKey = Omit<Configuration, 'configuracionTablas'> &
  KeyInUse &
  UseOfKey & { keyId: string; hash: Buffer; stamp: string; tables: string | null };

/** Returns which of these hashes (base64) are of keys in force, whoever's: one query for all. */
export async function findHashesInForce(connection: Connection, hashes: readonly Buffer[]): Promise<Set<string>> {
  const { rows } = await connection.query<{ hash: Buffer }>(
    `SELECT hash FROM sync_api_keys k WHERE substr(hash, 1, 8) = ANY ($1) AND ${IN_FORCE}`,
    [hashes.map((hash) => hash.subarray(0, 8))],
  );
  return new Set(rows.map(({ hash }) => hash.toString('base64')));
}

/** What a use of a key has to note. */
export interface UseOfKey {
  rotatedFrom: string | null;
  /** Whether it has not been used before. */
  first: boolean;
  /** Whether its last use was noted more than a minute ago. */
  isDue: boolean;
}

/**
 * Notes the use of a key: one write a minute at most, and none that would wait for another's. At its first use the key in
 * whose place it came gets its grace period, `graceHours`; while somebody holds that one, the use counts as not noted.
 */
export async function noteUse(
  connection: Connection,
  { id }: KeyInUse,
  { rotatedFrom, first, isDue }: UseOfKey,
  { graceHours, author }: { graceHours: number; author: Author },
): Promise<void> {
  if (!isDue) return;
  const note = () =>
    connection.query(
      `UPDATE sync_api_keys SET "lastUsedAt" = now()
       WHERE id = (SELECT id FROM sync_api_keys
                   WHERE id = $1 AND ("lastUsedAt" IS NULL OR "lastUsedAt" <= now() - interval '1 minute')
                   FOR UPDATE SKIP LOCKED)`,
      [id],
    );
  if (!first || rotatedFrom === null) {
    await note();
    return;
  }
  try {
    await inTransaction(connection, async () => {
      await setAuthor(connection, author, 'transaction');
      await connection.query('SELECT FROM sync_api_keys WHERE id = $1 FOR UPDATE NOWAIT', [rotatedFrom]);
      await connection.query(
        `UPDATE sync_api_keys SET "graceUntil" = now() + make_interval(hours => $2)
         WHERE id = $1 AND "graceUntil" IS NULL`,
        [rotatedFrom, graceHours],
      );
      await note();
    });
  } catch (error) {
    if (!isDatabaseError(error) || error.code !== LOCK_NOT_AVAILABLE) throw error;
  }
}

const LOCK_NOT_AVAILABLE = '55P03';

/**
 * Puts the key whose SHA-256 is `hash`, made by the agent, in the place of the key `id`: same name, same length of
 * life. The old one stays in force; its grace period begins when the new one is first used. The same again answers the
 * same.
 * @throws {SyncError} CLAVE_RETIRADA when the old one was revoked (with a grace period, or just now), CUERPO_INVALIDO
 * when `hash` is that of another key, DEMASIADAS_CLAVES
 */
export async function rotateApiKey(
  connection: Connection,
  { tenant, id, hash, author }: { tenant: string; id: string; hash: Buffer; author: Author },
): Promise<{ id: string; expiresAt: Date | null }> {
  return inTransaction(connection, async () => {
    await commitDurably(connection);
    await setAuthor(connection, author, 'transaction');
    await lockTenant(connection, tenant);
    const { rows: old } = await connection.query(
      `SELECT FROM sync_api_keys k WHERE id = $1 AND "tenantId" = $2 AND "revokedAt" IS NULL AND ${IN_FORCE}`,
      [id, tenant],
    );
    if (old.length === 0) throw new SyncError('CLAVE_RETIRADA', `La clave «${id}» está retirada.`);
    const { rows: known } = await connection.query<{ id: string; expiresAt: Date | null; same: boolean }>(
      `SELECT id, "expiresAt", "tenantId" = $2 AND "rotatedFrom" = $3 AND ${IN_FORCE} AS same
       FROM sync_api_keys k WHERE hash = $1`,
      [hash, tenant, id],
    );
    if (known[0] !== undefined) {
      if (known[0].same) return known[0];
      throw new SyncError('CUERPO_INVALIDO', 'Esa huella es la de otra clave.', { campo: 'huella' });
    }
    await assertRoomForKey(connection, tenant);
    const { rows } = await connection.query<{ id: string; expiresAt: Date | null }>(
      `INSERT INTO sync_api_keys ("tenantId", nombre, hash, "rotatedFrom", "expiresAt")
       SELECT "tenantId", nombre, $2, id, now() + ("expiresAt" - "createdAt") FROM sync_api_keys WHERE id = $1
       RETURNING id, "expiresAt"`,
      [id, hash],
    );
    return rows[0]!;
  });
}

const listColumns = `k.id, k."tenantId", k.nombre, k."createdAt", k."lastUsedAt", ${END} AS "end", ${IN_FORCE} AS "inForce",
  k."revokedAt", k."rotatedFrom"`;

/** Finds the keys of a tenant, or of all: oldest first. */
export async function findApiKeys(connection: Connection, tenant: string | undefined): Promise<ApiKey[]> {
  const { rows } = await connection.query<ApiKey>(
    `SELECT ${listColumns} FROM sync_api_keys k WHERE $1::text IS NULL OR k."tenantId" = $1
     ORDER BY k."tenantId", k."createdAt", k.id`,
    [tenant ?? null],
  );
  return rows;
}

/**
 * Revokes a key in force, now or `graceHours` from now; with `descendants` also those that came in its place, and in
 * theirs. Such a key cannot be rotated any more. Returns the keys that were revoked, and those that came in their place and
 * are still in force.
 */
export async function revokeApiKey(
  connection: Connection,
  id: string,
  { graceHours, descendants }: { graceHours: number; descendants: boolean },
): Promise<{ revoked: ApiKey[]; left: ApiKey[] }> {
  return inTransaction(connection, async () => {
    // So that no key comes in the place of one of these meanwhile.
    const { rows: owner } = await connection.query('SELECT "tenantId" FROM sync_api_keys WHERE id = $1', [id]);
    if (owner[0] !== undefined) await lockTenant(connection, owner[0].tenantId);
    const { rows: family } = await connection.query<ApiKey>(
      `WITH RECURSIVE familia AS (
         SELECT id FROM sync_api_keys WHERE id = $1
         UNION SELECT h.id FROM sync_api_keys h JOIN familia f ON h."rotatedFrom" = f.id)
       SELECT ${listColumns} FROM sync_api_keys k JOIN familia USING (id) WHERE ${IN_FORCE} ORDER BY k."createdAt", k.id`,
      [id],
    );
    const ids = family.filter((key) => descendants || key.id === id).map((key) => key.id);
    const { rows: revoked } = await connection.query<ApiKey>(
      `UPDATE sync_api_keys k SET "revokedAt" = least(k."revokedAt", now() + make_interval(hours => $2))
       WHERE id = ANY ($1) RETURNING ${listColumns}`,
      [ids, graceHours],
    );
    revoked.sort((a, b) => ids.indexOf(a.id) - ids.indexOf(b.id));
    return { revoked, left: family.filter((key) => !ids.includes(key.id)) };
  });
}
