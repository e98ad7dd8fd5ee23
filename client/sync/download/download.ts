import type { TablaBajada } from '../../../protocol/tenant-config/config.ts';
import { describeError } from '../../errors/describe-error.ts';
import { withRetries } from '../../errors/retry.ts';
import type { SqlServer } from '../../sqlserver/sql-server.ts';
import { quoteTable } from '../../sqlserver/tables/ddl.ts';
import { atSqlServer } from '../at-sql-server.ts';
import type { SyncContext } from '../context.ts';
import { causeOf, isLostConnection, recordPhase, runPhaseAtBackend, runPhaseAtSqlServer } from '../phases.ts';
import { GoesWhole } from './held.ts';
import { type LoadedRows, loadRows } from './load.ts';
import { fillNames } from './target.ts';
import { updateTarget } from './update.ts';

/**
 * Downloads one table: pre_process, its rows into `#temp_<tabla>_<n>`, post_process (or the built-in update) in one
 * transaction. One connection to SQL Server does it all, for `#temp` lives no longer.
 * Until the whole download has arrived and its count agrees, the target is not touched; a download that breaks starts
 * afresh, in a new `#temp`, and on a new connection where that broke. Answers the rows loaded.
 * @throws {PhaseFailure}, or the error of the connection
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
  const { log } = context;
  return atSqlServer(context, tabla, async (db) => {
    await runPhaseAtBackend(context, tabla, 'pre_process');
    await runPhaseAtSqlServer(context, db, { direccion: 'download', tabla, fase: 'pre_process' }, (sql) => ({
      sql: fillNames(sql, { tabla: quoteTable(tabla.nombre) }),
    }));
    const loaded = await loadAndUpdate(context, db, tabla);
    if (loaded === undefined) return 0;
    if (!loaded.isUpdated) return loaded.rows;
    context.learn((pins) => loaded.origins.learnInto(pins));
    if (loaded.origins.old > 0) {
      log.warn(
        `${loaded.origins.old} valores sensibles los cifró una versión anterior, que no decía de qué tabla son: ` +
          'vuelva a subir esas filas',
        tabla.nombre,
      );
    }
    await runPhaseAtBackend(context, tabla, 'post_process');
    // Not before: a phase that failed runs again only with rows.
    await loaded.changes?.settle(true);
    return loaded.rows;
  });
}

/** Answers what was loaded, and whether the target has it now; undefined: it had everything before. */
async function loadAndUpdate(
  context: SyncContext,
  db: SqlServer,
  tabla: TablaBajada,
  compare = true,
): Promise<(LoadedRows & { isUpdated: boolean }) | undefined> {
  const { log } = context;
  try {
    const loaded = await recordPhase(
      context,
      { direccion: 'download', tabla: tabla.nombre, fase: 'process', ejecutadoEn: 'destino' },
      () => loadRows(context, db, tabla, compare),
    );
    const { changes } = loaded;
    if (changes?.isNews === false) {
      await changes.drop();
      log.info(`Sin novedades: ${loaded.received} filas en el backend, ninguna cambió`, tabla.nombre);
      return undefined;
    }
    await changes?.forget();
    const isUpdated = await updateTarget(context, db, tabla, loaded);
    if (!isUpdated) await changes?.settle(false);
    return { ...loaded, isUpdated };
  } catch (error) {
    const cause = causeOf(error);
    if (!(cause instanceof GoesWhole) || !compare) throw error;
    log.info(`${cause.message}: se baja la tabla entera`, tabla.nombre);
    return loadAndUpdate(context, db, tabla, false);
  }
}
