import { isPhaseAt, primaryKeyOf, type TablaBajada } from '../../../protocol/tenant-config/config.ts';
import { Origins } from '../../config/sensitive-pins.ts';
import { agentError } from '../../errors/agent-error.ts';
import { describeError } from '../../errors/describe-error.ts';
import { isRetryable, withRetries } from '../../errors/retry.ts';
import { decryptRows, sensitiveColumnsOf } from '../../rows/field-encryption.ts';
import { type SqlServer, SqlServerError } from '../../sqlserver/sql-server.ts';
import { type BulkColumn, createTableSql, createTempTableSql, quoteTable } from '../../sqlserver/tables/ddl.ts';
import type { TableColumns } from '../../sqlserver/tables/table-columns.ts';
import type { SyncContext } from '../context.ts';
import { makeCollector } from '../memory.ts';
import {
  causeOf,
  isLostConnection,
  recordPhase,
  retryDeadlocks,
  runPhaseAtBackend,
  runPhaseAtSqlServer,
} from '../phases.ts';
import { findEqualKeys, type KeyColumn, uniqueColumnsOf } from './equal-keys.ts';
import { readFrame } from './frame.ts';
import { landingColumns } from './landing.ts';
import { isApproved, tellApplied, tellNone } from './retained-download.ts';
import { builtInUpdate, columnsOf, fillNames, keyNames, makeTempName } from './target.ts';
import { RetainedBajas, TargetGuard } from './target-guard.ts';

/**
 * Downloads one table: pre_process, its rows into `#temp_<tabla>_<n>`, post_process (or the built-in update) in one
 * transaction. One connection to SQL Server does it all, for `#temp` lives no longer.
 *
 * Until the whole download has arrived and its count agrees, the target is not touched; a download that breaks starts
 * afresh, in a new `#temp`, and on a new connection where that broke. Answers the rows loaded. Throws PhaseFailure, or the
 * error of the connection.
 */
export function downloadTable(context: SyncContext, tabla: TablaBajada): Promise<number> {
  const { log, policy, progress, signal } = context;
  const onRetry = (error: unknown) => {
    progress.again();
    log.warn(`${describeError(causeOf(error)).text} Se intenta de nuevo.`, tabla.nombre);
  };
  return withRetries(() => downloadOnce(context, tabla), { signal, policy, when: isLostConnection, onRetry });
}

async function downloadOnce(context: SyncContext, tabla: TablaBajada): Promise<number> {
  const { log, progress, signal, withSqlServer } = context;
  progress.waiting(() => 'la conexión a SQL Server');
  const onMessage = (text: string) => log.info(`SQL Server: ${text}`, tabla.nombre);
  return withSqlServer({ signal, onMessage }, async (db) => {
    await runPhaseAtBackend(context, tabla, 'pre_process');
    await runPhaseAtSqlServer(context, db, { direccion: 'download', tabla, fase: 'pre_process' }, (sql) => ({
      sql: fillNames(sql, { tabla: quoteTable(tabla.nombre) }),
    }));
    const loaded = await recordPhase(
      context,
      { direccion: 'download', tabla: tabla.nombre, fase: 'process', ejecutadoEn: 'destino' },
      () => loadRows(context, db, tabla),
    );
    if (!(await updateTarget(context, db, tabla, loaded))) return loaded.rows;
    context.learn((pins) => loaded.origins.learnInto(pins));
    if (loaded.origins.old > 0) {
      log.warn(
        `${loaded.origins.old} valores sensibles los cifró una versión anterior, que no decía de qué tabla son: ` +
          'vuelva a subir esas filas',
        tabla.nombre,
      );
    }
    await runPhaseAtBackend(context, tabla, 'post_process');
    return loaded.rows;
  });
}

interface LoadedRows {
  temp: string;
  columns: readonly BulkColumn[];
  /** Of the primaryKey. */
  keys: readonly KeyColumn[];
  target: TableColumns | undefined;
  builtIn: boolean;
  rows: number;
  /** Of sensitive values. */
  origins: Origins;
}

async function loadRows(context: SyncContext, db: SqlServer, tabla: TablaBajada) {
  const { log, policy, progress, signal } = context;
  progress.waiting(() => 'filas del backend');
  const loaded = await withRetries(() => loadOnce(context, db, tabla), {
    signal,
    policy,
    // A connection to SQL Server that broke took its #temp along.
    when: (error) => isRetryable(error) && !(error instanceof SqlServerError),
    onRetry: (error) => {
      progress.again();
      log.warn(`${describeError(error).message} Se empieza de nuevo.`, tabla.nombre);
    },
  });
  const message = `${loaded.rows} filas descargadas en ${loaded.temp}`;
  return { value: loaded, rows: loaded.rows, message, metadata: { filas: loaded.rows, bytes: loaded.bytes } };
}

/** One attempt, with a `#temp` of its own that goes when it fails. */
async function loadOnce(
  context: SyncContext,
  db: SqlServer,
  tabla: TablaBajada,
): Promise<LoadedRows & { bytes: number }> {
  const { backend, dataKey, progress, sensitivePins, signal } = context;
  const sensitive = sensitiveColumnsOf(tabla, dataKey);
  const origins = new Origins(sensitivePins, tabla);
  const { start, rows: lines } = await readFrame(await backend.openDownload(tabla.nombre, signal));
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
    const arriving = sensitive === undefined ? counted : decryptRows(counted, sensitive, origins);
    let seen = 0;
    const onRows = (total: number) => {
      progress.rows(total - seen);
      seen = total;
    };
    try {
      const rows = await db.bulkLoad(temp, columns, arriving, { signal, onRows });
      // Of two rows with one key the update would take either. SQL of the customer's own may well choose.
      const equal = builtIn ? await findEqualKeys(db, { tabla: tabla.nombre, temp, keys }, { signal }) : undefined;
      if (equal !== undefined) throw equal;
      return { temp, columns, keys, target, builtIn, rows, bytes, origins };
    } catch (error) {
      await db.execute(`DROP TABLE ${temp}`, { signal }).catch(() => {
        // It goes with the connection; the first error is the one to tell.
      });
      throw error;
    }
  } finally {
    await lines.return(undefined);
  }
}

/** The key's columns in `#temp`; none where a post_process is given a primaryKey that the download has not got. */
function keyColumnsOf(
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

/** A unique index, a unique constraint, and MERGE, which were given one key twice. */
const DUPLICATES = new Set([2601, 2627, 8672]);

/** Of the built-in update, whatever a pre_process left: what does not fit is an error. */
const UPDATE_OPTIONS = 'SET ANSI_WARNINGS ON';

/**
 * Runs post_process, or the built-in update where none is configured at SQL Server, in one transaction. Answers whether the target is
 * updated: false where the guard holds the update back.
 */
async function updateTarget(
  context: SyncContext,
  db: SqlServer,
  tabla: TablaBajada,
  loaded: LoadedRows,
): Promise<boolean> {
  const { signal } = context;
  const configured = tabla.post_process;
  const statements = isPhaseAt(configured, 'download', 'destino')
    ? [fillNames(configured.sql, { temp_table: loaded.temp, tabla: quoteTable(tabla.nombre) })]
    : [UPDATE_OPTIONS, ...builtInUpdate(tabla, loaded.columns, loaded.temp)];
  const place = { direccion: 'download', tabla: tabla.nombre, fase: 'post_process', ejecutadoEn: 'destino' } as const;
  context.progress.waiting(() => 'post_process en SQL Server');
  return recordPhase(context, place, async () => {
    // An error in the middle of the SQL rolls the whole of it back.
    await db.execute('SET XACT_ABORT ON', { signal });
    const update = async () => {
      let affected = 0;
      for (const sql of statements) affected += (await db.execute(sql, { signal })).rowsAffected;
      return affected;
    };
    const guard = await TargetGuard.open(db, { tabla, ...loaded }, signal);
    const attempt = (approved?: number) =>
      retryDeadlocks(context, tabla.nombre, () => db.transaction(() => guard.watch(update, approved))).catch(
        async (cause) => {
          const isDuplicate = cause instanceof SqlServerError && DUPLICATES.has(cause.number ?? 0);
          throw isDuplicate ? await nameDuplicates(db, tabla, loaded, { signal, cause }) : cause;
        },
      );
    const updated = (rows: number) => ({
      value: true,
      rows,
      message: `Tabla destino actualizada, ${rows} registros afectados`,
    });
    try {
      const done = updated(await attempt());
      if (context.lastRetained('download', tabla.nombre)) await tellNone(context, tabla.nombre);
      return done;
    } catch (error) {
      if (!(error instanceof RetainedBajas)) throw error;
      const { bajas, total } = error.found;
      if (!(await guard.isAsBefore())) throw agentError('GUARDA_SIN_EFECTO', { tabla: tabla.nombre, bajas, total });
      const report = await guard.describe(error.found);
      if (await isApproved(context, report)) {
        const done = updated(await attempt(bajas));
        await tellApplied(context, report);
        return done;
      }
      const message = `Tabla destino sin cambios: ${bajas} bajas retenidas de ${total} filas`;
      return { value: false, rows: 0, message, estado: 'parcial', metadata: { bajasRetenidas: bajas } };
    }
  });
}

/** What to throw for `cause`: of two rows with one key, by the primaryKey or a unique index of the target, which two. */
async function nameDuplicates(
  db: SqlServer,
  { nombre }: TablaBajada,
  { temp, keys, columns, target }: LoadedRows,
  { signal, cause }: { signal: AbortSignal; cause: SqlServerError },
): Promise<Error> {
  try {
    const unique = (await uniqueColumnsOf(db, nombre, signal)).map((names) => {
      const found = columns.filter(({ name }) => names.has(name.toLowerCase()));
      if (found.length < names.size) return [];
      return found.map(({ name, type }) => ({ name, type, collation: target?.get(name.toLowerCase())?.collation }));
    });
    for (const each of [keys, ...unique]) {
      const found = await findEqualKeys(db, { tabla: nombre, temp, keys: each }, { signal, cause });
      if (found !== undefined) return found;
    }
  } catch {
    signal.throwIfAborted();
    // What SQL Server said first is the one to tell.
  }
  return cause;
}

async function* tap<T>(source: AsyncIterable<T>, see: (item: T) => void): AsyncGenerator<T> {
  for await (const item of source) {
    see(item);
    yield item;
  }
}
