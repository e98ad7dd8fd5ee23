import { isPhaseAt, type TablaBajada } from '../../../protocol/tenant-config/config.ts';
import { agentError } from '../../errors/agent-error.ts';
import { type SqlServer, SqlServerError } from '../../sqlserver/sql-server.ts';
import { quoteTable } from '../../sqlserver/tables/ddl.ts';
import type { SyncContext } from '../context.ts';
import { recordPhase, retryDeadlocks } from '../phases.ts';
import { findEqualKeys, uniqueColumnsOf } from './equal-keys.ts';
import type { LoadedRows } from './load.ts';
import { nameMissingColumn } from './missing-column.ts';
import { isApproved, tellApplied, tellNone } from './retained-download.ts';
import { builtInUpdate, fillNames } from './target.ts';
import { RetainedBajas, TargetGuard } from './target-guard.ts';

/** The end of a download: the target is brought up to date from `#temp`, all of it or not at all. */

/** A unique index, a unique constraint, and MERGE, which were given one key twice. */
const DUPLICATES = new Set([2601, 2627, 8672]);

/** Of the built-in update, whatever a pre_process left: what does not fit is an error. */
const UPDATE_OPTIONS = 'SET ANSI_WARNINGS ON';

/**
 * Runs post_process, or the built-in update where none is configured at SQL Server, in one transaction. Answers whether the target is
 * updated: false where the guard holds the update back.
 */
export async function updateTarget(
  context: SyncContext,
  db: SqlServer,
  tabla: TablaBajada,
  loaded: LoadedRows,
): Promise<boolean> {
  const { signal } = context;
  const configured = tabla.post_process;
  const { temp, bajas, changes } = loaded;
  const names = { temp_table: temp, ...(bajas === undefined ? {} : { temp_bajas: bajas }) };
  const statements = isPhaseAt(configured, 'download', 'destino')
    ? [fillNames(configured.sql, { ...names, tabla: quoteTable(tabla.nombre) })]
    : [UPDATE_OPTIONS, ...builtInUpdate(tabla, loaded.columns, loaded)];
  const place = { direccion: 'download', tabla: tabla.nombre, fase: 'post_process', ejecutadoEn: 'destino' } as const;
  context.progress.waiting(() => 'post_process en SQL Server');
  return recordPhase(context, place, async () => {
    // An error in the middle of the SQL rolls the whole of it back.
    await db.execute('SET XACT_ABORT ON', { signal });
    const update = async () => {
      let affected = 0;
      for (const sql of statements) affected += (await db.execute(sql, { signal })).rowsAffected;
      await changes?.afterUpdate(loaded);
      return affected;
    };
    await changes?.beforeUpdate(loaded);
    const guard = await TargetGuard.open(db, { tabla, ...loaded }, signal);
    const attempt = (approved?: number) =>
      retryDeadlocks(context, tabla.nombre, () => db.transaction(() => guard.watch(update, approved))).catch(
        async (cause) => {
          const isDuplicate = cause instanceof SqlServerError && DUPLICATES.has(cause.number ?? 0);
          throw isDuplicate
            ? await nameDuplicates(db, tabla, loaded, { signal, cause })
            : nameMissingColumn(tabla, loaded, cause);
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
      const { bajas: taken, total } = error.found;
      if (!(await guard.isAsBefore())) {
        throw agentError('GUARDA_SIN_EFECTO', { tabla: tabla.nombre, bajas: taken, total });
      }
      const report = await guard.describe(error.found);
      if (await isApproved(context, report)) {
        const done = updated(await attempt(taken));
        await tellApplied(context, report);
        return done;
      }
      const message = `Tabla destino sin cambios: ${taken} bajas retenidas de ${total} filas`;
      return { value: false, rows: 0, message, estado: 'parcial', metadata: { bajasRetenidas: taken } };
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
