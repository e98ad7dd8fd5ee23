import { defined } from '../../../protocol/defined.ts';
import { cambiosOf } from '../../../protocol/tenant-config/config.ts';
import { mentionsMark } from '../../../protocol/tenant-config/ultima-sync.ts';
import type { LedgerName } from '../../state/ledger/ledgers.ts';
import type { UploadHead } from '../../state/spool/manifest.ts';
import type { PhaseOutcome } from '../phases.ts';
import { describeAlike, sayRetained } from '../retained.ts';
import type { UploadBuffer } from './buffer.ts';
import type { SentUpload } from './deliver.ts';
import type { UploadJob } from './job.ts';
import { keepLedger } from './keep-ledger.ts';
import { removeStore } from './pending.ts';
import { readsChanges } from './reading.ts';
import { sayColumns } from './say-columns.ts';

/** Moves the mark once the backend has committed, and removes what waited for this. */
export async function confirm(
  job: UploadJob,
  { head, huellas, replaced, store }: UploadBuffer,
  sent: SentUpload | undefined,
): Promise<PhaseOutcome<number>> {
  const { context, tabla } = job;
  const { log } = context;
  const { modo, ultimaSync, relojAtrasado, retroceso, retenida } = head;
  const filas = sent?.rows ?? 0;
  const libro = await keepLedger(context.ledgers, { head, huellas, result: sent?.result });
  // Of an attempt before this one, which went on without a ledger.
  if (libro === undefined) await context.ledgers.dropNew(tabla.nombre);
  await moveMark(job, head, sent, libro);
  if (store !== undefined) await removeStore(context, store);
  if (replaced > 0) {
    log.warn(`${replaced} caracteres que PostgreSQL no admite se sustituyeron por U+FFFD`, tabla.nombre);
  }
  const clavesRepetidas = sent?.result.clavesRepetidas ?? 0;
  if (clavesRepetidas > 0) {
    log.warn(`${clavesRepetidas} filas repiten la clave de otra: quedó la última de cada una`, tabla.nombre);
  }
  const { bajasRetenidas = 0, retencion, clavesParecidas } = sent?.result ?? {};
  context.onRetained(bajasRetenidas);
  const columnasPendientes = sayColumns(job, head, sent);
  context.onColumnsPending(columnasPendientes);
  if (retencion !== undefined) sayRetained(context, tabla, retencion);
  if (clavesParecidas !== undefined) log.warn(describeAlike(clavesParecidas), tabla.nombre);
  const metadata = {
    modo,
    ...(mentionsMark(tabla.process.query) ? { ultimaSync } : {}),
    filas,
    ...defined({ leidas: huellas?.leidas }),
    ...(sent === undefined ? {} : { bytes: sent.bytes, trozos: sent.chunks, ...countsOf(sent.result) }),
    ...(sent !== undefined && sent.alreadyThere > 0 ? { trozosYaEnviados: sent.alreadyThere } : {}),
    ...(clavesRepetidas > 0 ? { clavesRepetidas } : {}),
    ...(replaced > 0 ? { caracteresSustituidos: replaced } : {}),
    ...(bajasRetenidas > 0 ? { bajasRetenidas } : {}),
    ...(columnasPendientes > 0 ? { columnasPendientes } : {}),
    ...(relojAtrasado === true ? { relojAtrasado } : {}),
    ...defined({ relojAtrasadoSegundos: retroceso, transaccionAbiertaDesde: retenida }),
  };
  return {
    value: filas,
    rows: filas,
    message: messageOf(sent, huellas?.leidas),
    metadata,
    ...(bajasRetenidas > 0 || columnasPendientes > 0 ? { estado: 'parcial' as const } : {}),
  };
}

/**
 * A reading of everything that found no row says nothing of the source: a view that was broken that day gives its old rows
 * later. So it leaves the mark as it was, or leaves none.
 */
async function moveMark(
  { context: { watermarks }, tabla, fingerprints }: UploadJob,
  { base, entera, leido, lectura, quieta, reloj, revuelto, seguimiento, versiones }: UploadHead,
  sent: SentUpload | undefined,
  libro: LedgerName | undefined,
): Promise<void> {
  const filas = sent?.rows ?? 0;
  const { nombre } = tabla;
  const mark = watermarks.get(nombre, fingerprints);
  // Where nothing was sent the centre stayed as it was.
  const generacion = sent === undefined ? base : sent.result.generacion;
  const ultimaEjecucion = new Date().toISOString();
  const common = {
    huella: fingerprints.actual,
    ultimaEjecucion,
    filas,
    ...defined({ generacion, esquema: sent === undefined ? mark?.esquema : sent.esquema }),
  };
  if (readsChanges(cambiosOf(tabla)) && entera === true && filas === 0) {
    if (mark !== undefined) await watermarks.set(nombre, { ...mark, ...common });
    return;
  }
  const isRetained = (sent?.result.bajasRetenidas ?? 0) > 0;
  // Their keys are known from here on alone: they are asked for again until somebody has decided.
  if (seguimiento !== undefined && isRetained && entera === true) {
    await watermarks.forget(nombre);
    return;
  }
  const tracked = isRetained ? seguimiento?.desde : seguimiento?.hasta;
  const whole = entera === true ? lectura : mark?.entera;
  await watermarks.set(nombre, {
    ...reloj,
    ...defined({ leido, revuelto, entera: whole, libro, version: versiones?.hasta, quieta, seguimiento: tracked }),
    ...common,
  });
}

function countsOf({
  registrosInsertados,
  registrosActualizados,
  registrosSinCambios,
  registrosDesactivados,
}: SentUpload['result']) {
  return { registrosInsertados, registrosActualizados, registrosSinCambios, registrosDesactivados };
}

function messageOf(sent: SentUpload | undefined, leidas: number | undefined): string {
  if (sent === undefined) {
    return leidas === undefined
      ? 'Sin novedades: no hay filas que subir'
      : `Sin novedades: ${leidas} filas leídas, ninguna cambió`;
  }
  const counts = countsOf(sent.result);
  const retenidas = sent.result.bajasRetenidas ?? 0;
  const resumed = sent.alreadyThere > 0 ? ` (${sent.alreadyThere} de ${sent.chunks} trozos ya estaban)` : '';
  return (
    `${leidas === undefined ? '' : `${leidas} filas leídas, `}${sent.rows} filas subidas${resumed}: ${counts.registrosInsertados} nuevas, ` +
    `${counts.registrosActualizados} actualizadas, ${counts.registrosSinCambios} sin cambios, ` +
    `${counts.registrosDesactivados} desactivadas` +
    (retenidas > 0 ? `, ${retenidas} bajas retenidas` : '')
  );
}
