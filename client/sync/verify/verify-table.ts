import { randomBytes } from 'node:crypto';
import type { Verificacion } from '../../../protocol/api.ts';
import { SyncError } from '../../../protocol/errors.ts';
import { bajasOf, type TablaSubida } from '../../../protocol/tenant-config/config.ts';
import { sensitiveColumnsOf } from '../../rows/field-encryption.ts';
import type { SqlServer } from '../../sqlserver/sql-server.ts';
import { type Resume, type Totals, verifications } from '../../state/verifications.ts';
import { fingerprintsOf } from '../../state/watermarks.ts';
import { count } from '../../ui/words.ts';
import { atSqlServer } from '../at-sql-server.ts';
import { expectedRows, type SyncContext } from '../context.ts';
import { causeOf } from '../phases.ts';
import { chooseBits } from './buckets.ts';
import { compare, noTotals, type Outcome } from './comparison.ts';
import { type Confirmed, lookAgain } from './look.ts';
import { repairRows, repairWhole } from './repair.ts';
import { TableSource } from './source.ts';

/** Compares one upload table with what the centre has of it, keeps how that ended on both sides, and repairs it where that is asked. */

export interface VerifyOptions {
  /** Sends what differs again. */
  reparar: boolean;
  /** Undefined: as long as it takes. */
  maxSegundos: number | undefined;
}

/** Answers how it ended. Throws what reading, asking and the disk throw. */
export async function verifyTable(
  context: SyncContext,
  tabla: TablaSubida,
  options: VerifyOptions,
): Promise<Verificacion> {
  const startedAt = new Date();
  const { folder, log, progress, signal } = context;
  const key = `upload/${tabla.nombre}`;
  const huella = fingerprintsOf(tabla, context, sensitiveColumnsOf(tabla, context.dataKey)).actual;
  const state = (await verifications.read(folder))[key] ?? {};
  const resumed = state.sigue?.huella === huella ? state.sigue : undefined;
  const begun: Resume = resumed ?? {
    huella,
    semilla: String(BigInt.asIntN(64, randomBytes(8).readBigInt64BE())),
    bits: chooseBits(context.lastRows('upload', tabla.nombre)),
    cubo: 0,
    totales: noTotals(),
  };
  if (resumed !== undefined) {
    log.info(`La comparación sigue donde quedó: cubo ${resumed.cubo} de ${2 ** resumed.bits}`, tabla.nombre);
  }
  progress.expect(expectedRows(context, 'upload', tabla));
  const seed = BigInt(begun.semilla);
  const { maxSegundos = Number.POSITIVE_INFINITY } = options;
  const of = {
    ...{ backend: context.backend.verification, tabla: tabla.nombre, seed, folder },
    ...{ bits: begun.bits, cubo: begun.cubo, deadline: performance.now() + maxSegundos * 1000 },
    onSettled: (cubo: number, totales: Totals) =>
      verifications.keep(folder, key, { ...state, sigue: { ...begun, cubo, totales } }),
  };
  const compareAll = () => withSource(context, tabla, seed, (source) => compare(of, source, begun.totales, signal));
  const found = await compareAll();
  const { outcome, reparadas } = options.reparar
    ? await repair({ context, tabla, seed, compareAll }, found)
    : { outcome: found, reparadas: 0 };
  const result = resultOf(tabla, outcome, { reparadas, startedAt });
  const { tabla: _, muestras: __, ...figures } = result;
  const { totals: totales, cubo } = outcome;
  const sigue = cubo < outcome.size ? { sigue: { ...begun, cubo, totales } } : {};
  await verifications.keep(folder, key, { ultima: figures, ...sigue });
  await context.backend.verification.store(result, signal);
  return result;
}

function withSource<T>(
  context: SyncContext,
  tabla: TablaSubida,
  seed: bigint,
  use: (source: TableSource, db: SqlServer) => Promise<T>,
): Promise<T> {
  return atSqlServer(context, tabla, async (db) => use(await TableSource.open({ context, tabla, db }, seed), db));
}

interface RepairJob {
  context: SyncContext;
  tabla: TablaSubida;
  seed: bigint;
  compareAll(): Promise<Outcome>;
}

/** Sends what differs, and looks at it once more. */
async function repair(
  { context, tabla, seed, compareAll }: RepairJob,
  outcome: Outcome,
): Promise<{ outcome: Outcome; reparadas: number }> {
  const { confirmed, totals } = outcome;
  if (confirmed.length === 0) return { outcome, reparadas: 0 };
  // Not all of them are known by name.
  if (totals.sinMirar > 0) {
    const reparadas = await repairWhole(context, tabla);
    return { outcome: await compareAll(), reparadas };
  }
  return withSource(context, tabla, seed, async (source, db) => {
    const job = { context, tabla, db, leidas: totals.filasOrigen };
    const reparadas = await repairRows(job, source, confirmed).catch((error: unknown) => {
      if (!isOfHashes(error)) throw error;
      return repairWhole(context, tabla);
    });
    const sides = { backend: context.backend.verification, source, tabla: tabla.nombre, seed };
    // What the centre has been sent meanwhile is equal now.
    const still = await lookAgain(sides, confirmed, context.signal);
    return { outcome: { ...outcome, ...afterRepair(outcome, still.confirmed) }, reparadas };
  });
}

/** Returns whether the centre does not know which rows the hashes of keys name (protocol/SPEC.md, J7). */
function isOfHashes(error: unknown): boolean {
  const cause = causeOf(error);
  return cause instanceof SyncError && cause.code === 'GENERACION_DESCONOCIDA';
}

function afterRepair({ totals }: Outcome, still: readonly Confirmed[]): Pick<Outcome, 'totals' | 'confirmed'> {
  const of = (kind: Confirmed['kind']) => still.filter((one) => one.kind === kind).length;
  const [distintas, faltan, sobran] = [of('distinta'), of('falta'), of('sobra')];
  const arrived = totals.faltan - faltan;
  const names = new Set(still.map(({ codigo }) => codigo));
  const left = {
    ...{ distintas, faltan, sobran },
    iguales: totals.iguales + arrived + totals.distintas - distintas,
    filasDestino: totals.filasDestino + arrived - (totals.sobran - sobran),
    muestras: totals.muestras.filter(({ clave }) => names.has(clave)),
  };
  return { totals: { ...totals, ...left }, confirmed: [...still] };
}

function resultOf(
  tabla: TablaSubida,
  { totals, cubo, size, invalidas }: Outcome,
  { reparadas, startedAt }: { reparadas: number; startedAt: Date },
): Verificacion {
  const { inactivas, repetidas, sinMirar, ...figures } = totals;
  const ignoresExtra = bajasOf(tabla) === 'ignorar';
  const refused = repetidas > 0 && tabla.clavesRepetidas !== 'ultima';
  const differences = figures.distintas + figures.faltan + (ignoresExtra ? 0 : figures.sobran);
  const differs = differences > 0 || invalidas > 0 || refused;
  const words = [
    cubo < size ? `se acabó el tiempo en el cubo ${cubo} de ${size}: la próxima vez sigue ahí` : '',
    invalidas > 0 ? `${count(invalidas)} filas del origen no tienen clave, o no valen: una subida se rechaza` : '',
    repetidas > 0
      ? `${count(repetidas)} filas repiten la clave de otra${refused ? ': una subida se rechaza' : ': cuenta la última'}`
      : '',
    inactivas > 0 ? `${count(inactivas)} filas inactivas del destino ya no están en el origen: no cuentan` : '',
    ignoresExtra && figures.sobran > 0 ? 'bajas es «ignorar»: lo que sobra no es una diferencia' : '',
    sinMirar > 0 ? `${count(sinMirar)} diferencias no se miraron dos veces: algunas pueden estar en vuelo` : '',
  ].filter((text) => text !== '');
  return {
    ...{ tabla: tabla.nombre, direccion: 'upload' },
    estado: cubo < size ? 'incompleta' : differs ? 'diferencias' : 'iguales',
    ...figures,
    reparadas,
    ...{ inicio: startedAt.toISOString(), fin: new Date().toISOString() },
    mensaje: words.length === 0 ? null : words.join('; '),
  };
}
