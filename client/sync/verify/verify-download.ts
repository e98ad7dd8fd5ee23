import { randomBytes } from 'node:crypto';
import type { Verificacion } from '../../../protocol/api.ts';
import { limits } from '../../../protocol/constants.ts';
import { hasBit, setBit } from '../../../protocol/rows/buckets.ts';
import { isCarried } from '../../../protocol/rows/sql-types.ts';
import { isPhaseAt, primaryKeyOf, type TablaBajada } from '../../../protocol/tenant-config/config.ts';
import { backendError } from '../../http/backend-error.ts';
import { quoteTable, type SqlServer } from '../../sqlserver/sql-server.ts';
import type { TableColumns } from '../../sqlserver/tables/table-columns.ts';
import { heldDownloads } from '../../state/download-ledgers.ts';
import { verifications } from '../../state/verifications.ts';
import { count } from '../../ui/words.ts';
import { atSqlServer } from '../at-sql-server.ts';
import type { SyncContext } from '../context.ts';
import { downloadTable } from '../download/download.ts';
import { readFrame } from '../download/frame.ts';
import { chooseBits } from './buckets.ts';
import type { Kind } from './compare.ts';
import { TimeIsUp } from './comparison.ts';
import { type Asked, type BothSides, readBothSides } from './target-buckets.ts';
import { loadToCompare, type TargetDifference, TargetPairs } from './target-pairs.ts';
import type { VerifyOptions } from './verify-table.ts';

/**
 * Compares the target of a download with what the centre would send it (protocol/SPEC.md, Y10 to Y14): both sides hash their lines into
 * buckets; the rows of the buckets that differ come down, and are compared with the target's by value. What differs then is looked at
 * once more. Nothing is written but a `#temp`, and no phase runs.
 */

/** Differences that are looked at once more; past them they are counted as they are. */
const LOOK_MAX = 50_000;

interface Found extends Record<'filasOrigen' | 'filasDestino' | 'iguales' | 'enVuelo' | 'sinMirar', number> {
  /** By kind; with `sinMirar`, those too that were looked at once. */
  kinds: Record<Kind, number>;
  muestras: Verificacion['muestras'];
  /** Columns that the download has, or the target, and that were not compared. */
  omitidas: string[];
}

/** What of a comparison ended before its rows were compared, and why: in Spanish. */
interface Stopped {
  estado: 'incompleta' | 'sin_comparar';
  mensaje: string;
  /** A download would change that. */
  isMissing: boolean;
}

/** Answers how it ended. Throws what reading, asking and the download of a repair throw. */
export async function verifyDownload(
  context: SyncContext,
  tabla: TablaBajada,
  { reparar, maxSegundos = Number.POSITIVE_INFINITY }: VerifyOptions,
): Promise<Verificacion> {
  const startedAt = new Date();
  const { folder, signal } = context;
  const deadline = performance.now() + maxSegundos * 1000;
  const compareAll = () => atSqlServer(context, tabla, (db) => compareTarget(context, db, tabla, deadline));
  let found = await compareAll();
  let reparadas = 0;
  if (reparar && isWrong(tabla, found)) {
    // What the ledger says of the target is not so: every row comes down.
    await heldDownloads.keep(folder, tabla.nombre, undefined);
    reparadas = await downloadTable(context, tabla);
    found = await compareAll();
  }
  const result: Verificacion = {
    ...{ tabla: tabla.nombre, direccion: 'download', reparadas },
    ...outcomeOf(tabla, found),
    ...{ inicio: startedAt.toISOString(), fin: new Date().toISOString() },
  };
  const { tabla: _, muestras: __, ...figures } = result;
  await verifications.keep(folder, `download/${tabla.nombre}`, { ultima: figures });
  await context.backend.verification.store(result, signal);
  return result;
}

async function compareTarget(
  context: SyncContext,
  db: SqlServer,
  tabla: TablaBajada,
  deadline: number,
): Promise<Found | Stopped> {
  const keys = primaryKeyOf(tabla);
  if (keys.length === 0) return uncompared('sin primaryKey no se sabe qué fila es cuál');
  const target = await describeTarget(db, tabla, context.signal);
  if (target === undefined) return { ...uncompared('el destino no existe'), isMissing: true };
  const columnas = [...target].filter(([, { type }]) => type !== undefined && !isCarried(type.name));
  const names = columnas.map(([name]) => name);
  const missing = keys.filter((key) => !names.includes(key.toLowerCase()));
  if (missing.length > 0) return uncompared(`el destino no tiene ${missing.join(', ')}, de la clave`);
  const asked: Asked = {
    ...{ tabla: tabla.nombre, semilla: String(BigInt.asIntN(64, randomBytes(8).readBigInt64BE())) },
    ...{ bits: chooseBits(context.lastRows('download', tabla.nombre)), columnas: names },
  };
  try {
    const sides = await readBothSides(context, db, asked, { keys, deadline });
    return await compareSides({ context, db, tabla, target, asked }, sides, deadline);
  } catch (error) {
    if (!(error instanceof TimeIsUp)) throw error;
    const mensaje = 'se acabó el tiempo antes de terminar: la próxima vez empieza de nuevo';
    return { estado: 'incompleta', mensaje, isMissing: false };
  }
}

function uncompared(mensaje: string): Stopped {
  return { estado: 'sin_comparar', mensaje, isMissing: false };
}

/** Undefined where it does not exist. */
async function describeTarget(
  db: SqlServer,
  { nombre }: TablaBajada,
  signal: AbortSignal,
): Promise<TableColumns | undefined> {
  const parameters = [{ name: 'nombre', type: 'nvarchar' as const, value: quoteTable(nombre) }];
  const [row] = await db.query('SELECT OBJECT_ID(@nombre) AS id', { parameters, signal });
  return row?.id === null || row?.id === undefined ? undefined : db.describeTable(nombre, signal);
}

interface Job {
  context: SyncContext;
  db: SqlServer;
  tabla: TablaBajada;
  target: TableColumns;
  asked: Asked;
}

async function compareSides(job: Job, sides: BothSides, deadline: number): Promise<Found> {
  const { centre, target, columns } = sides;
  const found: Found = {
    ...{ filasOrigen: 0, filasDestino: 0, iguales: 0, enVuelo: 0, sinMirar: 0 },
    ...{ kinds: { distinta: 0, falta: 0, sobra: 0 }, muestras: [] },
    omitidas: omittedOf(job, columns),
  };
  const cubos = Buffer.alloc(Math.ceil(centre.size / 8));
  let differing = 0;
  for (let bucket = 0; bucket < centre.size; bucket++) {
    found.filasOrigen += centre.counts[2 * bucket]!;
    const rows = target.counts[2 * bucket]!;
    found.filasDestino += rows;
    if (target.agreesWith(centre, bucket)) found.iguales += rows;
    else {
      setBit(cubos, bucket);
      differing += rows;
    }
  }
  if (cubos.every((byte) => byte === 0)) return found;
  const isWanted = (keyHigh: number) => hasBit(cubos, centre.bucketOf(keyHigh));
  const look = (take: (difference: TargetDifference) => void) => {
    if (performance.now() > deadline) throw new TimeIsUp();
    return lookAt(job, sides, { cubos, isWanted, differing }, take);
  };
  const first = new Map<string, TargetDifference>();
  const unlooked: Record<Kind, number> = { distinta: 0, falta: 0, sobra: 0 };
  const equalAtFirst = await look((difference) => {
    if (first.size < LOOK_MAX) first.set(nameOf(difference), difference);
    else unlooked[difference.kind]++;
  });
  found.sinMirar = unlooked.distinta + unlooked.falta + unlooked.sobra;
  if (first.size === 0) return { ...found, iguales: found.iguales + equalAtFirst };
  const still = new Set<string>();
  const equal = await look((difference) => {
    const name = nameOf(difference);
    if (!first.has(name)) return;
    still.add(name);
    addDifference(found, difference);
  });
  for (const kind of ['distinta', 'falta', 'sobra'] as const) found.kinds[kind] += unlooked[kind];
  return { ...found, iguales: found.iguales + equal, enVuelo: first.size - still.size };
}

const nameOf = ({ kind, clave }: TargetDifference) => `${kind} ${clave}`;

function addDifference(found: Found, { kind, clave, columnas }: TargetDifference): void {
  found.kinds[kind]++;
  if (found.muestras.filter(({ diferencia }) => diferencia === kind).length >= limits.verifySamples) return;
  found.muestras.push({ diferencia: kind, clave, columnas });
}

/** One look at the rows of the buckets that differ. Answers how many are equal by value. */
async function lookAt(
  { context, db, tabla, target, asked }: Job,
  { columns, consulta }: BothSides,
  { cubos, isWanted, differing }: { cubos: Buffer; isWanted(keyHigh: number): boolean; differing: number },
  take: (difference: TargetDifference) => void,
): Promise<number> {
  const { backend, progress, signal } = context;
  progress.waiting(() => 'filas del backend');
  const body = await backend.verification.compareDownload({ ...asked, cubos: cubos.toString('base64') }, signal);
  const { start, rows } = await readFrame(body);
  try {
    if (start.huellas?.consulta !== consulta) {
      throw backendError('DESCARGA_INCOMPLETA', { motivo: 'la consulta cambió mientras se comparaba' });
    }
    const offered = { columns: [...columns] };
    const loaded = await loadToCompare(context, db, { tabla, target, offered }, rows);
    const pairs = new TargetPairs(db, tabla, loaded, { target, seed: BigInt(asked.semilla), signal });
    for await (const difference of pairs.differences(isWanted, differing)) take(difference);
    await db.execute(`DROP TABLE ${loaded.temp}`, { signal });
    return pairs.equal;
  } finally {
    await rows.return(undefined);
  }
}

/** What is not compared, of both sides: what the other has not got, and what only SQL Server can write. */
function omittedOf({ tabla, target }: Job, compared: BothSides['columns']): string[] {
  const names = new Set(compared.map(({ name }) => name.toLowerCase()));
  const isOut = (name: string) => !names.has(name.toLowerCase());
  const offered = tabla.schema?.columns.map(({ name }) => name).filter(isOut) ?? [];
  const known = new Set(offered.map((name) => name.toLowerCase()));
  return [...offered, ...[...target.keys()].filter((name) => isOut(name) && !known.has(name))];
}

/**
 * Returns whether the download itself takes rows away that the centre has not got: else the target may have others.
 */
function takesAway({ cambios, bajas, post_process }: TablaBajada): boolean {
  if (cambios !== 'huellas' || bajas === 'ignorar') return false;
  return bajas === 'borrar' || !isPhaseAt(post_process, 'download', 'destino');
}

function isWrong(tabla: TablaBajada, found: Found | Stopped): boolean {
  if ('estado' in found) return found.isMissing;
  const { distinta, falta, sobra } = found.kinds;
  return distinta + falta + (takesAway(tabla) ? sobra : 0) > 0;
}

const NAMED = 20;

function outcomeOf(tabla: TablaBajada, found: Found | Stopped) {
  if ('estado' in found) {
    const { estado, mensaje } = found;
    const none = { filasOrigen: 0, filasDestino: 0, iguales: 0, distintas: 0, faltan: 0, sobran: 0, enVuelo: 0 };
    return { estado, ...none, muestras: [], mensaje };
  }
  const { filasOrigen, filasDestino, iguales, enVuelo, sinMirar, kinds, muestras, omitidas } = found;
  const { distinta: distintas, falta: faltan, sobra: sobran } = kinds;
  const more = omitidas.length > NAMED ? ` y ${omitidas.length - NAMED} más` : '';
  const words = [
    sobran > 0 && !takesAway(tabla) ? 'la bajada no quita filas: lo que sobra no es una diferencia' : '',
    isWrong(tabla, found) && isPhaseAt(tabla.post_process, 'download', 'destino')
      ? 'qué llega al destino lo decide post_process'
      : '',
    omitidas.length > 0 ? `no se comparan ${omitidas.slice(0, NAMED).join(', ')}${more}` : '',
    sinMirar > 0 ? `${count(sinMirar)} diferencias no se miraron dos veces: algunas pueden estar en vuelo` : '',
  ].filter((text) => text !== '');
  return {
    estado: isWrong(tabla, found) ? ('diferencias' as const) : ('iguales' as const),
    ...{ filasOrigen, filasDestino, iguales, distintas, faltan, sobran, enVuelo, muestras },
    mensaje: words.length === 0 ? null : words.join('; ').slice(0, 2000),
  };
}
