import type { Modo, UploadResult } from '../../protocol/api.ts';
import { defined } from '../../protocol/defined.ts';
import { SyncError } from '../../protocol/errors.ts';
import { bajasOf, type TablaSubida } from '../../protocol/tenant-config/config.ts';
import { translateMergeError } from '../postgres/errors.ts';
import { commitDurably } from '../postgres/tenant.ts';
import { assertCurrent, type Reading } from '../rows/commits.ts';
import { absentFrom, applyGone, type Gone, type GoneRows } from '../rows/gone.ts';
import { findHashed, HASHED, type HashedBajas } from '../rows/hashed-bajas.ts';
import { assertLedger, forgetEdits, noteEdit, takeSnapshot, writeAsUpload } from '../rows/ledgers.ts';
import { lockTipoCampo, mergeReceived } from '../rows/merge.ts';
import { type SchemaNamed, takeSchema } from '../rows/schemas.ts';
import { claimKeys } from '../rows/shared-keys.ts';
import type { ReceivedRows } from '../rows/staging.ts';
import { namesSharing, tipoCampoOf } from '../tenants/configurations.ts';
import { insertLogs } from '../tenants/logs.ts';
import { inSpan } from '../tracing/spans.ts';
import { describeAlike, describeRetention, describeSchema } from './describe.ts';
import { logEntry, logOwner } from './log-entries.ts';
import { runPhase } from './phase.ts';
import type { Transfer } from './transfer.ts';

/** A whole upload in its staging table. */
export interface Received {
  rows: ReceivedRows;
  /** How many, repeated keys among them. */
  filas: number;
  modo: Modo;
  reading: Reading;
  columns: SchemaNamed;
  /** The generation that it makes; undefined: one without a name. */
  generacion: string | undefined;
  /** Of a partial upload that knows them. */
  bajas?: HashedBajas | undefined;
}

/**
 * Applies an upload once its rows are in PostgreSQL, in the transfer's transaction: pre_process ▶ merge ▶ bajas ▶ log ▶
 * post_process.
 * @throws {SyncError} GENERACION_DESCONOCIDA, LECTURA_ANTIGUA, ESQUEMA_DESCONOCIDO, ESQUEMA_CAMBIADO, CLAVE_REPETIDA,
 * CLAVE_DE_OTRA_TABLA, VALOR_INVALIDO, SQL_FALLO
 */
export async function applyReceived(transfer: Transfer, tabla: TablaSubida, upload: Received): Promise<UploadResult> {
  const { connection, context, configuration } = transfer;
  const { rows: received, filas, modo, reading, columns, generacion } = upload;
  const tenant = configuration.tenantId;
  const tipoCampo = tipoCampoOf(tabla);
  const place = { tenant, tabla: tabla.nombre };
  const began = performance.now();
  await commitDurably(connection);
  await lockTipoCampo(connection, tenant, tipoCampo);
  await assertCurrent(connection, tenant, tabla.nombre, reading);
  await assertLedger(connection, tenant, { tabla: tabla.nombre, tipoCampo }, reading);
  const { kept, esquema } = await takeSchema(connection, tenant, tabla, columns);
  const before = modo === 'completo' ? await takeSnapshot(connection) : undefined;
  await runPhase(transfer, tabla, 'pre_process', { writes: tipoCampo });
  const started = new Date();
  await writeAsUpload(connection, tipoCampo);
  // While the index of the keys is as it was vacuumed: an update makes every page that it touches one to be looked at.
  const gone = await findGone(transfer, tabla, upload);
  const merge = async () => {
    await claimKeys(connection, tenant, tabla, namesSharing(configuration, tabla), received);
    return mergeReceived(connection, tenant, tabla, received, kept);
  };
  const { claves, insertados, actualizados, parecidas } = await inSpan(
    'merge',
    place,
    merge,
    ({ claves }) => claves,
  ).catch((error: unknown) => {
    throw translateMergeError(error, { tabla: tabla.nombre });
  });
  const { desactivados, borrados, retencion, aprobadasPor } = await inSpan(
    'bajas',
    place,
    async (): Promise<GoneRows> =>
      gone === undefined ? { desactivados: 0 } : applyGone(connection, tenant, tabla, { ...gone, altas: insertados }),
  );
  const result: UploadResult = {
    success: true,
    tabla: tabla.nombre,
    tipoCampo,
    filas,
    registrosInsertados: insertados,
    registrosActualizados: actualizados,
    registrosSinCambios: claves - insertados - actualizados,
    registrosDesactivados: desactivados,
    ...defined({ registrosBorrados: borrados }),
    clavesRepetidas: filas - claves,
    ...defined({ generacion }),
    bajasRetenidas: retencion?.estado === 'pendiente' ? retencion.bajas : 0,
    ...defined({ retencion, clavesParecidas: parecidas, esquema }),
    timestamp: new Date().toISOString(),
  };
  const removed = borrados === undefined ? `${desactivados} desactivadas` : `${borrados} borradas`;
  const entry = logEntry('upload', tabla.nombre, 'process', started, {
    registrosAfectados: insertados + actualizados + desactivados + (borrados ?? 0),
    mensaje: [
      `${filas} filas recibidas: ${insertados} nuevas, ${actualizados} cambiadas, ${removed}`,
      ...(aprobadasPor === undefined ? [] : [`bajas aprobadas por ${aprobadasPor}`]),
      ...describeRetention(tenant, retencion),
      ...describeAlike(parecidas),
      ...describeSchema(tenant, tabla, esquema, columns.isPart),
    ].join('; '),
    metadatos: { ...result, modo, ...defined({ aprobadasPor }) },
  });
  const estado = (result.bajasRetenidas ?? 0) > 0 || esquema?.estado === 'pendiente' ? 'parcial' : 'exitoso';
  await insertLogs(connection, logOwner(configuration), [{ ...entry, estado }]);
  if (retencion?.nueva === true) {
    context.log.warn({ tenant, tabla: tabla.nombre, ...retencion }, describeRetention(tenant, retencion)[0]!);
  }
  if (esquema?.nueva === true) {
    context.log.warn({ tenant, tabla: tabla.nombre }, describeSchema(tenant, tabla, esquema, columns.isPart)[0]!);
  }
  await runPhase(transfer, tabla, 'post_process', { writes: tipoCampo });
  if (before !== undefined) await forgetEdits(connection, tenant, tipoCampo, before);
  // Bajas that wait for a decision no ledger knows: until then the table comes whole.
  if (modo === 'completo' && retencion?.estado === 'pendiente') await noteEdit(connection, tenant, tipoCampo);
  transfer.applied = { result, seconds: (performance.now() - began) / 1000 };
  return result;
}

/**
 * Returns which rows the upload says are gone; undefined: it says nothing of that, or nobody wants to know.
 * @throws {SyncError} CUERPO_INVALIDO: a whole upload with hashed bajas; what findHashed throws
 */
async function findGone(
  { connection, configuration }: Transfer,
  tabla: TablaSubida,
  { rows: received, filas, modo, bajas }: Received,
): Promise<Omit<Gone, 'altas'> | undefined> {
  const tenant = configuration.tenantId;
  if (modo === 'completo' && bajas !== undefined) {
    throw new SyncError('CUERPO_INVALIDO', 'Un envío completo no lleva «bajas».', { campo: 'bajas' });
  }
  if (bajasOf(tabla) === 'ignorar') return undefined;
  if (modo === 'completo') return { condition: absentFrom(received), leidas: filas };
  if (bajas === undefined) return undefined;
  await findHashed(connection, { tenant, tipoCampo: tipoCampoOf(tabla), tabla: tabla.nombre }, bajas, received);
  return { condition: HASHED, leidas: bajas.leidas };
}
