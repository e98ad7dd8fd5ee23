import { isPhaseAt, primaryKeyOf, type TablaSubida } from '../../protocol/config.ts';
import { type SqlParameter, type SqlServer, withSqlServer } from '../sqlserver/connection.ts';
import { cutChunks, sealChunks } from './chunks.ts';
import type { SyncContext } from './context.ts';
import { boundMark, fingerprintOf, mentionsMark, readServerClock, type ServerClock } from './marks.ts';
import { recordPhase, runPhaseAtSqlServer } from './phases.ts';
import { sendChunks } from './send.ts';

/**
 * Uploads one table: pre_process at SQL Server, its rows to the backend (which runs what is configured at `destino`
 * and applies everything in one transaction), the new mark, post_process at SQL Server.
 *
 * The mark is SQL Server's clock from before the read, and moves only after the backend has answered: a run that dies
 * anywhere sends the same rows again, which changes nothing. Answers the rows sent. Throws PhaseFailure, or the error
 * of the connection.
 */
export async function uploadTable(context: SyncContext, tabla: TablaSubida): Promise<number> {
  const { log, marks, signal, sqlServer } = context;
  const onMessage = (text: string) => log.info(`SQL Server: ${text}`, tabla.nombre);
  return withSqlServer(sqlServer, { signal, onMessage }, async (db) => {
    const huella = fingerprintOf(tabla, context.endpoints);
    if (marks.isOutdated(tabla.nombre, huella)) {
      log.info('La consulta o el destino cambiaron desde la última vez: se sube desde el principio', tabla.nombre);
    }
    const clock = await readServerClock(db, signal);
    const ultimaSync = boundMark(
      tabla,
      tabla.incremental === true ? marks.get(tabla.nombre, huella) : undefined,
      clock,
    );
    const withMark = (sql: string) => ({ sql, ...parametersOf(sql, ultimaSync) });

    await runPhaseAtSqlServer(context, db, 'upload', tabla, 'pre_process', withMark);
    const rows = await recordPhase(
      context,
      { direccion: 'upload', tabla: tabla.nombre, fase: 'process', ejecutadoEn: 'origen' },
      () => sendRows(context, db, tabla, { huella, clock, ultimaSync }),
    );
    await runPhaseAtSqlServer(context, db, 'upload', tabla, 'post_process', withMark);
    return rows;
  });
}

async function sendRows(
  context: SyncContext,
  db: SqlServer,
  tabla: TablaSubida,
  { huella, clock, ultimaSync }: { huella: string; clock: ServerClock; ultimaSync: string | null },
) {
  const { backend, log, marks, progress, signal } = context;
  const { query } = tabla.process;
  const modo = tabla.incremental === true ? 'incremental' : 'completo';
  let replacedCharacters = 0;
  progress.start(tabla.nombre);
  const blocks = tap(
    db.readRows(query, { ...parametersOf(query, ultimaSync), names: namesOf(tabla), signal }),
    (block) => {
      replacedCharacters += block.replacedCharacters;
      progress.rows(block.rows);
    },
  );
  try {
    const chunks = sealChunks(cutChunks(blocks));
    const sent = await sendChunks(
      backend,
      { tabla: tabla.nombre, modo, sendEmpty: actsOnNothing(tabla) },
      chunks,
      signal,
    );
    const filas = sent?.rows ?? 0;
    await marks.set(tabla.nombre, { ...clock, huella, ultimaEjecucion: new Date().toISOString(), filas });
    if (replacedCharacters > 0) {
      log.warn(`${replacedCharacters} caracteres que PostgreSQL no admite se sustituyeron por U+FFFD`, tabla.nombre);
    }
    const clavesRepetidas = sent?.result.clavesRepetidas ?? 0;
    if (clavesRepetidas > 0) {
      log.warn(`${clavesRepetidas} filas repiten la clave de otra: quedó la última de cada una`, tabla.nombre);
    }
    const metadata = {
      modo,
      ...(mentionsMark(query) ? { ultimaSync } : {}),
      filas,
      ...(sent === undefined ? {} : { bytes: sent.bytes, trozos: sent.chunks, ...countsOf(sent.result) }),
      ...(clavesRepetidas > 0 ? { clavesRepetidas } : {}),
      ...(replacedCharacters > 0 ? { caracteresSustituidos: replacedCharacters } : {}),
    };
    return { value: filas, rows: filas, message: messageOf(sent), metadata };
  } finally {
    progress.stop();
  }
}

type Sent = NonNullable<Awaited<ReturnType<typeof sendChunks>>>;

function countsOf({
  registrosInsertados,
  registrosActualizados,
  registrosSinCambios,
  registrosDesactivados,
}: Sent['result']) {
  return { registrosInsertados, registrosActualizados, registrosSinCambios, registrosDesactivados };
}

function messageOf(sent: Sent | undefined): string {
  if (sent === undefined) return 'Sin novedades: no hay filas que subir';
  const counts = countsOf(sent.result);
  return (
    `${sent.rows} filas subidas: ${counts.registrosInsertados} nuevas, ${counts.registrosActualizados} actualizadas, ` +
    `${counts.registrosSinCambios} sin cambios, ${counts.registrosDesactivados} desactivadas`
  );
}

/** Whether an upload without rows still does something at the backend: a phase there, or that all are absent. */
function actsOnNothing(tabla: TablaSubida): boolean {
  if (isPhaseAt(tabla.pre_process, 'upload', 'destino') || isPhaseAt(tabla.post_process, 'upload', 'destino'))
    return true;
  return tabla.incremental !== true && tabla.desactivarAusentes === true;
}

/** The columns that the backend looks for by name (protocol/SPEC.md, R2 and R3). */
function namesOf(tabla: TablaSubida): string[] {
  return [...primaryKeyOf(tabla), 'codigo', 'nombre', 'descripcion', 'razon_social', 'activo'];
}

function parametersOf(sql: string, ultimaSync: string | null): { parameters?: SqlParameter[] } {
  if (!mentionsMark(sql)) return {};
  return { parameters: [{ name: 'ultimaSync', type: 'datetime2', value: ultimaSync }] };
}

async function* tap<T>(source: AsyncIterable<T>, see: (item: T) => void): AsyncGenerator<T> {
  for await (const item of source) {
    see(item);
    yield item;
  }
}
