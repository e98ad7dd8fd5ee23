import { cambiosOf, type TablaSubida } from '../../../protocol/tenant-config/config.ts';
import { findOldestSession, RIGHT_TO_SEE } from '../../sqlserver/session/open-transactions.ts';
import { readVersions } from '../../sqlserver/session/versions.ts';
import type { SqlServer } from '../../sqlserver/sql-server.ts';
import type { UploadHead } from '../../state/spool/manifest.ts';
import type { Watermark } from '../../state/watermarks.ts';
import type { SyncContext } from '../context.ts';
import { isDue } from './reading.ts';
import { assertVersionColumn, planVersions, type VersionPlan } from './rowversion.ts';

/** From which change to which a table is read that SQL Server numbers the changes of; nothing for others. */
type ChangesPlan = Partial<Pick<UploadHead, 'versiones' | 'quieta'>> & { entera?: boolean };

export async function planChanges(
  context: SyncContext,
  tabla: TablaSubida,
  db: SqlServer,
  { mark, utc }: { mark: Watermark | undefined; utc: string },
): Promise<ChangesPlan> {
  if (cambiosOf(tabla) !== 'rowversion') return {};
  const { signal } = context;
  const plan = planVersions(mark, await readVersions(db, signal), utc, isDue(tabla, mark, utc));
  if (plan.entera) await assertVersionColumn(db, tabla, signal);
  await sayVersions(context, tabla, db, plan);
  const { entera, versiones, quieta } = plan;
  return { entera, versiones, quieta };
}

async function sayVersions(
  { log, signal }: SyncContext,
  { nombre }: TablaSubida,
  db: SqlServer,
  { retrocedida, parada, versiones, quieta }: VersionPlan,
): Promise<void> {
  if (retrocedida) {
    const what = 'parece una copia restaurada u otra base';
    log.warn(
      `La versión de la base (${versiones.hasta}) es anterior a la de la marca: ${what}; se sube entera`,
      nombre,
    );
  }
  if (!parada) return;
  const found = await findOldestSession(db, signal);
  const whose = found.seVe ? found.quien : `no se ve de quién es (${found.motivo}): pida ${RIGHT_TO_SEE}`;
  const since = quieta.slice(0, 19).replace('T', ' ');
  log.warn(
    `Una transacción abierta retiene los cambios desde ${since} (UTC), y lo escrito después no sube hasta que termine: ${whose}`,
    nombre,
  );
}
