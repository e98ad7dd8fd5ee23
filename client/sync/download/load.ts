import { isPhaseAt, primaryKeyOf, type TablaBajada } from '../../../protocol/tenant-config/config.ts';
import { tap } from '../../async/tap.ts';
import { Origins } from '../../config/sensitive-pins.ts';
import { describeError } from '../../errors/describe-error.ts';
import { isRetryable, withRetries } from '../../errors/retry.ts';
import { decryptRows, sensitiveColumnsOf } from '../../rows/field-encryption.ts';
import { type SqlServer, SqlServerError } from '../../sqlserver/sql-server.ts';
import { type BulkColumn, createTableSql, createTempTableSql, quoteTable } from '../../sqlserver/tables/ddl.ts';
import type { TableColumns } from '../../sqlserver/tables/table-columns.ts';
import type { SyncContext } from '../context.ts';
import { makeCollector } from '../memory.ts';
import { type DownloadChanges, openChanges } from './changes.ts';
import { findEqualKeys, type KeyColumn } from './equal-keys.ts';
import { type FramedDownload, readFrame } from './frame.ts';
import { makeGoneKeys } from './gone-keys.ts';
import { landingColumns } from './landing.ts';
import { columnsOf, keyNames, makeTempName } from './target.ts';

/** The middle of a download: its rows into a `#temp` of SQL Server. */

export interface LoadedRows {
  temp: string;
  columns: readonly BulkColumn[];
  /** Of the primaryKey. */
  keys: readonly KeyColumn[];
  target: TableColumns | undefined;
  builtIn: boolean;
  rows: number;
  /** Rows at the centre: more than `rows` where only changes came. */
  received: number;
  /** With `cambios: "huellas"`: the `#temp` of keys that are gone, and what the ledger says. */
  bajas: string | undefined;
  changes: DownloadChanges | undefined;
  /** Of sensitive values. */
  origins: Origins;
}

/**
 * Loads the rows into the temporary table. `compare`: whether rows that the agent knows to be in the target may stay
 * away.
 * @throws {GoesWhole} where they may not
 */
export async function loadRows(context: SyncContext, db: SqlServer, tabla: TablaBajada, compare: boolean) {
  const { log, policy, progress, signal } = context;
  progress.waiting(() => 'filas del backend');
  const loaded = await withRetries(() => loadOnce(context, db, tabla, compare), {
    signal,
    policy,
    // A connection to SQL Server that broke took its #temp along.
    when: (error) => isRetryable(error) && !(error instanceof SqlServerError),
    onRetry: (error) => {
      progress.again();
      log.warn(`${describeError(error).message} Se empieza de nuevo.`, tabla.nombre);
    },
  });
  const { rows, received, changes, temp } = loaded;
  const gone = changes?.gone;
  const message =
    gone === undefined
      ? `${rows} filas descargadas en ${temp}`
      : `${rows} de ${received} filas cambiaron, descargadas en ${temp}; ${gone.length} ya no están`;
  return { value: loaded, rows: loaded.rows, message, metadata: { filas: loaded.rows, bytes: loaded.bytes } };
}

/** One attempt, with a `#temp` of its own that goes when it fails. */
async function loadOnce(
  context: SyncContext,
  db: SqlServer,
  tabla: TablaBajada,
  compare: boolean,
): Promise<LoadedRows & { bytes: number }> {
  const { dataKey, progress, sensitivePins, signal } = context;
  const sensitive = sensitiveColumnsOf(tabla, dataKey);
  const origins = new Origins(sensitivePins, tabla);
  const { start, rows: lines, changes } = await openRows(context, db, tabla, compare);
  try {
    const wanted = columnsOf(tabla, start.schema);
    await createTargetIfMissing(db, tabla, wanted, signal);
    const builtIn = !isPhaseAt(tabla.post_process, 'download', 'destino');
    const target = await describeTarget(context, db, tabla);
    const columns = landingColumns(tabla, wanted, target, { builtIn, databasePage: db.databasePage });
    const keys = keyColumnsOf(tabla, columns, target, { builtIn });
    const temp = makeTempName(tabla.nombre);
    await db.execute(createTempTableSql(temp, columns), { signal });
    let bytes = 0;
    const collect = makeCollector('download');
    const counted = tap(lines, (piece) => {
      bytes += piece.length;
      progress.bytes(piece.length);
      collect(piece.length);
    });
    const wantedRows = changes === undefined ? counted : changes.filter(counted);
    const arriving = sensitive === undefined ? wantedRows : decryptRows(wantedRows, sensitive, origins);
    let seen = 0;
    const onRows = (total: number) => {
      progress.rows(total - seen);
      seen = total;
    };
    try {
      const rows = await db.bulkLoad(temp, columns, arriving, { signal, onRows });
      // Of two rows with one key the update would take either. SQL of the customer's own may well choose.
      const equal =
        builtIn || changes !== undefined
          ? await findEqualKeys(db, { tabla: tabla.nombre, temp, keys }, { signal })
          : undefined;
      if (equal !== undefined) throw equal;
      const job = { tabla: tabla.nombre, temp, columns, keys };
      const bajas =
        changes?.isNews === true
          ? await makeGoneKeys(
              db,
              { ...job, seed: changes.seed },
              { gone: changes.gone, ignored: tabla.bajas === 'ignorar' },
              signal,
            )
          : undefined;
      const received = changes?.filas ?? rows;
      return { temp, columns, keys, target, builtIn, rows, received, bajas, changes, bytes, origins };
    } catch (error) {
      await db.execute(`DROP TABLE ${temp}`, { signal }).catch(() => {
        // It goes with the connection; the first error is the one to tell.
      });
      throw error;
    }
  } catch (error) {
    await changes?.drop();
    throw error;
  } finally {
    await lines.return(undefined);
  }
}

async function openRows(
  context: SyncContext,
  db: SqlServer,
  tabla: TablaBajada,
  compare: boolean,
): Promise<FramedDownload & { changes: DownloadChanges | undefined }> {
  if (tabla.cambios === 'huellas') return openChanges(context, db, tabla, compare);
  const frame = await readFrame(await context.backend.openDownload(tabla.nombre, context.signal));
  return { ...frame, changes: undefined };
}

/**
 * Returns the key's columns in `#temp`; none where a post_process is given a primaryKey that the download has not got.
 */
export function keyColumnsOf(
  tabla: TablaBajada,
  columns: readonly BulkColumn[],
  target: TableColumns | undefined,
  { builtIn }: { builtIn: boolean },
): KeyColumn[] {
  const found = primaryKeyOf(tabla).map((key) => columns.find(({ name }) => name.toLowerCase() === key.toLowerCase()));
  if (!found.every((column) => column !== undefined)) return [];
  return found.map(({ name, type }) => {
    // What is ours lies in #temp with the target's collation already.
    return { name, type, collation: builtIn ? undefined : target?.get(name.toLowerCase())?.collation };
  });
}

/** Undefined where SQL of the customer's own does the update and this login may not read the target. */
async function describeTarget(
  { log, signal }: SyncContext,
  db: SqlServer,
  tabla: TablaBajada,
): Promise<TableColumns | undefined> {
  try {
    return await db.describeTable(tabla.nombre, signal);
  } catch (error) {
    const denied = error instanceof SqlServerError && error.code === 'PERMISOS';
    if (!denied || !isPhaseAt(tabla.post_process, 'download', 'destino')) throw error;
    log.warn('El usuario de SQL Server no puede leer la tabla de destino: no se comprueban sus tipos.', tabla.nombre);
    return undefined;
  }
}

async function createTargetIfMissing(
  db: SqlServer,
  tabla: TablaBajada,
  columns: BulkColumn[],
  signal: AbortSignal,
): Promise<void> {
  const parameters = [{ name: 'nombre', type: 'nvarchar' as const, value: quoteTable(tabla.nombre) }];
  const [row] = await db.query('SELECT OBJECT_ID(@nombre) AS id', { parameters, signal });
  if (row?.id !== null && row?.id !== undefined) return;
  await db.execute(createTableSql(tabla.nombre, columns, keyNames(tabla, columns)), { signal });
}
