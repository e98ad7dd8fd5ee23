import { setTimeout as sleep } from 'node:timers/promises';
import { OperatorError } from '../operator-error.ts';
import { quoteName } from './copy.ts';
import { isDatabaseError } from './errors.ts';
import { copyNext, dropMirror, isMirrorEqual, isMirrorWhole, makeMirror } from './mirror.ts';
import { type Connection, inTransaction } from './pool.ts';
import { NEW_TABLE, ROWS_TABLE, takePlace } from './take-place.ts';

/** How long a change of the table may keep others waiting. */
const LOCK_MS = 1000;

/** The same of a batch; shorter than PostgreSQL takes to look for a deadlock, so that it is never an upload that is broken off. */
const BATCH_LOCK_MS = 500;

/** How long a batch should take, which is how long a removal of its rows may wait. */
const BATCH_MS = 250;
const BATCH_ROWS = { first: 500, max: 20_000 };

/** How long one step is tried for while others are in its way. */
const PATIENCE_MS = 10 * 60_000;
const PAUSE_MS = 1000;

export interface PartitionOptions {
  /** Hears of each step. */
  tell(step: string): void;
  batchRows?: { first: number; max: number };
  patienceMs?: number;
}

/**
 * Makes parametros_maestros a table of partitions by the hash of "tenantId", while agents go on. Mirror ▶ copy ▶ compare ▶
 * swap: what is written meanwhile goes into both tables, what was there is copied in short transactions, and when both are equal, one
 * takes the place of the other under a lock that nobody waits for longer than LOCK_MS.
 *
 * Broken off at any moment, it goes on where it was when it is called again.
 * @returns false: it has partitions already
 * @throws {PartitionError}
 */
export async function partitionRows(connection: Connection, options: PartitionOptions): Promise<boolean> {
  await becomeOwner(connection);
  if (await isPartitioned(connection)) return false;
  const { tell } = options;
  tell(
    (await prepare(connection, options))
      ? 'Preparada la tabla nueva; lo que se escribe va a las dos.'
      : 'Se sigue donde se quedó.',
  );
  await copy(connection, options);
  tell('Copiada. Se comparan las dos tablas.');
  // Nobody analyses a partitioned table by itself.
  await connection.query(`ANALYZE ${NEW_TABLE}`);
  await compare(connection, options);
  await waitForOlder(connection, options);
  tell('Iguales. Se cambia una por otra.');
  await swap(connection, options);
  return true;
}

/** As the owner of the table, also where an administrator runs this: what is made here is then its. */
async function becomeOwner(connection: Connection): Promise<void> {
  const { rows } = await connection.query<{ dueno: string }>(
    `SELECT pg_get_userbyid(relowner) AS dueno, set_config('search_path', quote_ident(current_schema()) || ', pg_temp', false)
     FROM pg_class WHERE oid = to_regclass('${ROWS_TABLE}')`,
  );
  if (rows[0] === undefined) throw new PartitionError(`no hay ${ROWS_TABLE}: ejecute antes ax-sync-server migrate`);
  await connection.query(`SET ROLE ${quoteName(rows[0].dueno)}`);
}

async function isPartitioned(connection: Connection): Promise<boolean> {
  const { rowCount } = await connection.query(
    `SELECT FROM pg_partitioned_table WHERE partrelid = '${ROWS_TABLE}'::regclass`,
  );
  return rowCount !== 0;
}

/** Returns whether the mirror is a new one. One that has missed a write, or does not know a column, is begun again. */
async function prepare(connection: Connection, options: PartitionOptions): Promise<boolean> {
  return insist(connection, options, LOCK_MS, async () => {
    await connection.query(`LOCK TABLE ${ROWS_TABLE} IN ACCESS EXCLUSIVE MODE`);
    if (await isMirrorWhole(connection)) return false;
    await dropMirror(connection);
    await makeMirror(connection);
    await rehearse(connection);
    return true;
  });
}

/** @throws {PartitionError} something would be lost, or keeps the old table from going: said now, not when all is copied */
async function rehearse(connection: Connection): Promise<void> {
  const { rows } = await connection.query<{ nombre: string }>(
    `SELECT pubname AS nombre FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE prrelid = '${ROWS_TABLE}'::regclass`,
  );
  if (rows[0] !== undefined) {
    throw new PartitionError(
      `la publicación ${rows[0].nombre} nombra ${ROWS_TABLE}: quítela de ella (ALTER PUBLICATION … DROP TABLE) y vuelva a ponerla después`,
    );
  }
  await connection.query('SAVEPOINT ensayo');
  try {
    await dropMirror(connection, { keepTable: true });
    await takePlace(connection);
  } catch (error) {
    if (!isDatabaseError(error) || error.code === '55P03') throw error;
    throw new PartitionError(`${ROWS_TABLE} no se puede cambiar por otra: ${error.message}. ${error.detail ?? ''}`);
  }
  await connection.query('ROLLBACK TO ensayo');
}

async function copy(connection: Connection, options: PartitionOptions): Promise<void> {
  const { first, max } = options.batchRows ?? BATCH_ROWS;
  let rows = first;
  let copied: number | undefined = 0;
  let all = 0;
  while (copied !== undefined) {
    const began = performance.now();
    copied = await insist(connection, options, BATCH_LOCK_MS, () => copyNext(connection, rows));
    if (copied === undefined) break;
    all += copied;
    options.tell(`${all} filas copiadas.`);
    const factor = Math.min(2, BATCH_MS / (performance.now() - began));
    rows = Math.max(1, Math.min(max, Math.round(rows * factor)));
  }
}

/** @throws {PartitionError} the tables differ; the new one is gone then */
async function compare(connection: Connection, options: PartitionOptions): Promise<void> {
  const isEqual = () => isMirrorEqual(connection);
  if (await inTransaction(connection, isEqual, 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')) return;
  await insist(connection, options, LOCK_MS, () => dropMirror(connection));
  throw new PartitionError(
    'las dos tablas no son iguales; la nueva se ha borrado y no ha cambiado nada. Vuelva a ejecutarlo',
  );
}

/**
 * Waits for the end of everything that may look at the database as it was before the last row was copied: to a transaction that goes on
 * under its old snapshot, the new table would lack rows.
 */
async function waitForOlder(connection: Connection, options: PartitionOptions): Promise<void> {
  const { rows } = await connection.query<{ ahora: string }>('SELECT pg_current_xact_id()::xid::text AS ahora');
  const deadline = deadlineOf(options);
  for (;;) {
    const { rows: older } = await connection.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND usesysid IS NOT NULL AND pid <> pg_backend_pid()
         AND age(backend_xmin) > age($1::xid)`,
      [rows[0]!.ahora],
    );
    if (older.length === 0) return;
    if (performance.now() > deadline)
      throw inTheWay(`las transacciones de los procesos ${older.map(({ pid }) => pid).join(', ')}`);
    await sleep(PAUSE_MS / 5);
  }
}

async function swap(connection: Connection, options: PartitionOptions): Promise<void> {
  await insist(connection, options, LOCK_MS, async () => {
    await connection.query(`LOCK TABLE ${ROWS_TABLE} IN ACCESS EXCLUSIVE MODE`);
    if (!(await isMirrorWhole(connection))) {
      throw new PartitionError(
        `${ROWS_TABLE} o sus disparadores cambiaron entretanto. Vuelva a ejecutarlo: empieza de nuevo`,
      );
    }
    await dropMirror(connection, { keepTable: true });
    await takePlace(connection);
  });
}

/**
 * Runs `work` in a transaction that waits for no lock longer than `lockMs`, until it has its locks; in between others have their turn.
 * @throws {PartitionError} nothing for as long as the operator's patience lasts
 */
async function insist<T>(
  connection: Connection,
  options: PartitionOptions,
  lockMs: number,
  work: () => Promise<T>,
): Promise<T> {
  const deadline = deadlineOf(options);
  for (;;) {
    try {
      return await inTransaction(connection, async () => {
        await connection.query(`SET LOCAL lock_timeout = ${lockMs}`);
        return work();
      });
    } catch (error) {
      if (!isDatabaseError(error) || !/^(55P03|40P01)$/.test(error.code)) throw error;
      if (performance.now() > deadline) throw inTheWay('otras transacciones largas');
      await sleep(PAUSE_MS);
    }
  }
}

const deadlineOf = ({ patienceMs = PATIENCE_MS }: PartitionOptions) => performance.now() + patienceMs;

function inTheWay(who: string): PartitionError {
  return new PartitionError(
    `no lo dejaron seguir ${who} (pg_stat_activity). Nada se ha perdido; vuelva a ejecutarlo: sigue donde se quedó`,
  );
}

/** The table could not be partitioned; the message says why and what to do. */
export class PartitionError extends OperatorError {
  override readonly name = 'PartitionError';
}
