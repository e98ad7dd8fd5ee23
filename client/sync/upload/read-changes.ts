import { cambiosOf, type TablaSubida } from '../../../protocol/tenant-config/config.ts';
import { findChanged, readTrackingState } from '../../sqlserver/read/change-tracking.ts';
import { findOldestSession, RIGHT_TO_SEE } from '../../sqlserver/session/open-transactions.ts';
import { readVersions } from '../../sqlserver/session/versions.ts';
import type { SqlServer } from '../../sqlserver/sql-server.ts';
import type { UploadHead } from '../../state/spool/manifest.ts';
import type { Watermark } from '../../state/watermarks.ts';
import type { SyncContext } from '../context.ts';
import { baseTablesOf, mayHideRows, planTracking, resolveBaseTables, type TrackingPlan } from './change-tracking.ts';
import { isDue } from './reading.ts';
import { assertVersionColumn, planVersions, type VersionPlan } from './rowversion.ts';

/** From which change to which a table is read that SQL Server numbers the changes of; nothing for others. */
export type ChangesPlan = Partial<Pick<UploadHead, 'versiones' | 'quieta' | 'seguimiento'>> & { entera?: boolean };

/** What attempts of this run have shown. */
export interface KnownOfChanges {
  /** What they read of changes was of no use. */
  entera?: boolean;
  /** A database that the query reads from does not allow SNAPSHOT. */
  withoutSnapshot?: boolean;
}

/** Decides how the changes of a table are read: since when, up to where, or everything. */
export async function planChanges(
  context: SyncContext,
  tabla: TablaSubida,
  db: SqlServer,
  { mark, utc, known }: { mark: Watermark | undefined; utc: string; known: KnownOfChanges },
): Promise<ChangesPlan> {
  const due = isDue(tabla, mark, utc);
  switch (cambiosOf(tabla)) {
    case 'rowversion':
      return planByVersion(context, tabla, db, { mark, utc, due });
    case 'seguimiento':
      return planByTracking(context, tabla, db, { mark, due, known });
    default:
      return {};
  }
}

async function planByVersion(
  context: SyncContext,
  tabla: TablaSubida,
  db: SqlServer,
  { mark, utc, due }: { mark: Watermark | undefined; utc: string; due: boolean },
): Promise<ChangesPlan> {
  const { signal } = context;
  const plan = planVersions(mark, await readVersions(db, signal), utc, due);
  if (plan.entera) await assertVersionColumn(db, tabla, signal);
  await sayVersions(context, tabla, db, plan);
  const { entera, versiones, quieta } = plan;
  return { entera, versiones, quieta };
}

async function planByTracking(
  { log, signal }: SyncContext,
  tabla: TablaSubida,
  db: SqlServer,
  { mark, due, known }: { mark: Watermark | undefined; due: boolean; known: KnownOfChanges },
): Promise<ChangesPlan> {
  const bases = baseTablesOf(tabla);
  // Before everything else: what is written from now on is of a later version.
  const state = await readTrackingState(db, bases, signal);
  const plan = planTracking(bases, mark, state, { isDue: due, isAsked: known.entera === true });
  const hasta = state.actual!;
  const whole = (): ChangesPlan => ({ entera: true, seguimiento: { hasta, cambiadas: [], snapshot: false } });
  if (plan.kind === 'entera') {
    sayTracking(log, tabla, plan);
    await resolveBaseTables(db, tabla, signal);
    return whole();
  }
  const { desde } = plan;
  const cambiadas = await findChanged(db, bases, desde, signal);
  if (mayHideRows(tabla, cambiadas)) {
    const names = cambiadas.filter((at) => at > 0).map((at) => bases[at]);
    log.info(
      `Cambió ${names.join(', ')}, que puede quitar filas de la consulta: se compara la tabla entera`,
      tabla.nombre,
    );
    return whole();
  }
  const snapshot = state.snapshot && known.withoutSnapshot !== true && cambiadas.length > 0;
  return { entera: false, seguimiento: { desde, hasta, cambiadas, snapshot } };
}

function sayTracking(
  log: SyncContext['log'],
  { nombre }: TablaSubida,
  plan: Extract<TrackingPlan, { kind: 'entera' }>,
): void {
  const text = {
    primera: undefined,
    pedida: undefined,
    retrocedida: 'La versión de Change Tracking es anterior a la de la marca (parece una copia restaurada)',
    completoCada: 'Comparación completa (completoCada)',
    caducada: 'Los cambios desde la última vez ya no se conservan en SQL Server (CHANGE_RETENTION, o TRUNCATE)',
  }[plan.why];
  if (text === undefined) return;
  const which = plan.why === 'caducada' ? ` de ${plan.tabla}` : '';
  log[plan.why === 'completoCada' ? 'info' : 'warn'](`${text}${which}: se compara la tabla entera`, nombre);
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
