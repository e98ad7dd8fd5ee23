import { SyncError } from '../../protocol/errors.ts';
import { isDatabaseError } from '../postgres/errors.ts';
import { type Connection, inTransaction } from '../postgres/pool.ts';
import type { Reading } from './commits.ts';

/**
 * Whether the ledger of an agent (`huellas`) is still what the centre has. It is, if the commit that it stands on is the newest of its
 * table, and the rows of the tipo_campo have not been changed since by anything but that table's own uploads. Such changes are noted
 * by triggers (sync_ediciones), whoever makes them and however.
 */

/** A table, and the commit that its ledger stands on. */
export interface Ledger {
  tabla: string;
  tipoCampo: string;
  base: string;
}

/** What is wrong with a ledger, as a sentence says it. */
const FAULTS = {
  desconocida: ({ tabla }: Ledger) =>
    `Lo que el agente sabe de «${tabla}» parte de un estado que esta base de datos no tiene: se restauró, o es otra.`,
  'otra-subida': ({ tabla }: Ledger) =>
    `Desde la subida de «${tabla}» en la que se apoya esta hubo otra: de otro agente, o de un operador.`,
  'otra-tabla': ({ tabla, tipoCampo }: Ledger) => `«${tipoCampo}» no es de «${tabla}» sola: otra tabla escribió ahí.`,
  'sin-vigilancia': ({ tabla }: Ledger) =>
    `No se sabe si las filas de «${tabla}» se cambiaron a mano: los disparadores sync_edicion_* no estuvieron siempre activos.`,
  editada: ({ tabla, tipoCampo }: Ledger) =>
    `Las filas «${tipoCampo}» de «${tabla}» se cambiaron en el servidor desde su última subida, no por ella.`,
};

/**
 * Returns what is wrong with each of `ledgers`, in their order; undefined: nothing. For that to hold until the end of the
 * transaction, the caller holds the lock of the tipo_campo.
 */
async function findFaults(
  connection: Connection,
  tenant: string,
  ledgers: readonly Ledger[],
): Promise<(string | undefined)[]> {
  const { rows } = await connection.query<{ fallo: keyof typeof FAULTS | null }>(
    `SELECT CASE
       WHEN NOT EXISTS (SELECT FROM sync_commits c WHERE c."tenantId" = $1 AND c.tabla = l.tabla AND c.id = l.base)
         THEN 'desconocida'
       WHEN ultimo.id <> l.base THEN 'otra-subida'
       WHEN ultimo.tipo_campo IS DISTINCT FROM l.tipo_campo OR NOT EXISTS (
         SELECT FROM sync_cerrojos c WHERE c."tenantId" = $1 AND c.tipo_campo = l.tipo_campo AND c.tabla = l.tabla)
         THEN 'otra-tabla'
       WHEN ultimo.vigilancia IS DISTINCT FROM ahora.vigilancia OR ahora.vigilancia IS NULL THEN 'sin-vigilancia'
       WHEN EXISTS (SELECT FROM sync_ediciones e WHERE e."tenantId" = $1 AND e.tipo_campo = l.tipo_campo) THEN 'editada'
     END AS fallo
     FROM unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS l (tabla, tipo_campo, base, n)
     CROSS JOIN (SELECT sync_vigilancia() AS vigilancia) ahora
     LEFT JOIN LATERAL (
       SELECT id, resultado ->> 'tipoCampo' AS tipo_campo, vigilancia FROM sync_commits c
       WHERE c."tenantId" = $1 AND c.tabla = l.tabla ORDER BY orden DESC LIMIT 1) ultimo ON true
     ORDER BY l.n`,
    [
      tenant,
      ledgers.map(({ tabla }) => tabla),
      ledgers.map(({ tipoCampo }) => tipoCampo),
      ledgers.map(({ base }) => base),
    ],
  );
  return rows.map(({ fallo }, n) => (fallo === null ? undefined : FAULTS[fallo](ledgers[n]!)));
}

/** @throws {SyncError} CUERPO_INVALIDO: a ledger that says not what it stands on, or an upload that needs none */
export function assertNamesBase({ huellas, base }: Reading, modo: string): void {
  if (huellas !== true) return;
  if (base === undefined) throw new SyncError('CUERPO_INVALIDO', '«huellas» necesita «base».', { campo: 'base' });
  if (modo === 'incremental') return;
  throw new SyncError('CUERPO_INVALIDO', '«huellas» es de un envío parcial (modo: incremental).', { campo: 'modo' });
}

/** @throws {SyncError} GENERACION_DESCONOCIDA: an upload stands on a ledger that is not what the centre has */
export async function assertLedger(
  connection: Connection,
  tenant: string,
  { tabla, tipoCampo }: Omit<Ledger, 'base'>,
  { huellas, base }: Reading,
): Promise<void> {
  if (huellas !== true || base === undefined) return;
  const [fault] = await findFaults(connection, tenant, [{ tabla, tipoCampo, base }]);
  if (fault !== undefined) throw new SyncError('GENERACION_DESCONOCIDA', fault, { tabla });
}

/** Returns by table what each ledger may go on with: its own commit, or null. */
export async function checkLedgers(
  connection: Connection,
  tenant: string,
  ledgers: readonly Ledger[],
): Promise<Record<string, string | null>> {
  if (ledgers.length === 0) return {};
  const faults = await findFaults(connection, tenant, ledgers);
  return Object.fromEntries(ledgers.map(({ tabla, base }, n) => [tabla, faults[n] === undefined ? base : null]));
}

/** Returns a name of all transactions that are committed now (pg_snapshot). */
export async function takeSnapshot(connection: Connection): Promise<string> {
  const { rows } = await connection.query<{ foto: string }>('SELECT pg_current_snapshot()::text AS foto');
  return rows[0]!.foto;
}

/**
 * Forgets the edits of a tipo_campo that had been committed at `snapshot`, before a whole upload was merged over them. What came
 * while it was merged stays noted. (No transaction of this cluster: a note of a restored database.)
 */
export async function forgetEdits(
  connection: Connection,
  tenant: string,
  tipoCampo: string,
  snapshot: string,
): Promise<void> {
  await connection.query(
    `DELETE FROM sync_ediciones WHERE "tenantId" = $1 AND tipo_campo = $2
       AND (pg_visible_in_snapshot(transaccion, $3::pg_snapshot) OR transaccion >= pg_snapshot_xmax(pg_current_snapshot()))`,
    [tenant, tipoCampo, snapshot],
  );
}

/** Notes that the rows are not what a whole upload makes of them. */
export async function noteEdit(connection: Connection, tenant: string, tipoCampo: string): Promise<void> {
  await connection.query('INSERT INTO sync_ediciones ("tenantId", tipo_campo) VALUES ($1, $2) ON CONFLICT DO NOTHING', [
    tenant,
    tipoCampo,
  ]);
}

/** Has the rest of the transaction write rows of `tipoCampo` as its table's own upload. */
export async function writeAsUpload(connection: Connection, tipoCampo: string): Promise<void> {
  await connection.query(`SELECT set_config('app.subida', $1, true)`, [tipoCampo]);
}

/** Returns whether edits would go unnoticed: one of the triggers is missing or switched off. */
export async function findEditGaps(connection: Connection): Promise<boolean> {
  const { rows } = await connection.query<{ falta: boolean }>('SELECT sync_vigilancia() IS NULL AS falta');
  return rows[0]!.falta;
}

/** Kinds of rows that the janitor looks at in one go. */
const TIDY_MAX = 1000;

interface Place {
  tenantId: string;
  tipo_campo: string;
}

const listOf = (places: readonly Place[]) => [
  places.map(({ tenantId }) => tenantId),
  places.map(({ tipo_campo }) => tipo_campo),
];

/** Leaves one note of each tipo_campo, which says as much as many, and none of what was never merged. */
export async function tidyEdits(connection: Connection): Promise<void> {
  await inTransaction(connection, () => leaveOne(connection));
  await inTransaction(connection, () => forgetUnmerged(connection)).catch((error: unknown) => {
    // A first merge is under way: at another time.
    if (!isDatabaseError(error) || error.code !== '55P03') throw error;
  });
}

/** Under the lock: a whole upload forgets the notes that it has seen, and must not find gone what came meanwhile. */
async function leaveOne(connection: Connection): Promise<void> {
  const { rows: places } = await connection.query<Place>(
    `SELECT c."tenantId", c.tipo_campo FROM sync_cerrojos c
     JOIN (SELECT "tenantId", tipo_campo FROM sync_ediciones GROUP BY 1, 2 HAVING count(*) > 1 LIMIT ${TIDY_MAX}) e
       ON e."tenantId" = c."tenantId" AND e.tipo_campo = c.tipo_campo
     FOR UPDATE OF c SKIP LOCKED`,
  );
  await connection.query(
    `DELETE FROM sync_ediciones e USING unnest($1::text[], $2::text[]) AS k (tenant, tipo)
     WHERE e."tenantId" = k.tenant AND e.tipo_campo = k.tipo AND (e.transaccion, e."createdAt") < (
       SELECT o.transaccion, o."createdAt" FROM sync_ediciones o WHERE o."tenantId" = k.tenant AND o.tipo_campo = k.tipo
       ORDER BY o.transaccion DESC, o."createdAt" DESC LIMIT 1)`,
    listOf(places),
  );
}

/** Under locks that are there for this transaction alone: a first merge waits for its end. */
async function forgetUnmerged(connection: Connection): Promise<void> {
  const { rows: places } = await connection.query<Place>(
    `INSERT INTO sync_cerrojos ("tenantId", tipo_campo)
     SELECT DISTINCT "tenantId", tipo_campo FROM sync_ediciones e WHERE NOT EXISTS (
       SELECT FROM sync_cerrojos c WHERE c."tenantId" = e."tenantId" AND c.tipo_campo = e.tipo_campo)
     LIMIT ${TIDY_MAX} ON CONFLICT DO NOTHING RETURNING "tenantId", tipo_campo`,
  );
  for (const table of ['sync_ediciones', 'sync_cerrojos']) {
    await connection.query(
      `DELETE FROM ${table} t USING unnest($1::text[], $2::text[]) AS k (tenant, tipo)
       WHERE t."tenantId" = k.tenant AND t.tipo_campo = k.tipo`,
      listOf(places),
    );
  }
}
