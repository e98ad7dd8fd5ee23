import type { Verificacion } from '../../protocol/api.ts';
import type { ExitReason } from '../errors/exit-codes.ts';
import { type VerifiedTables, verifyTables } from '../sync/verify/verify-tables.ts';
import { count, decimal, table } from '../ui/words.ts';
import { runSync, type SyncOptions } from './sync.ts';

export interface VerifyCommandOptions extends Pick<SyncOptions, 'folder' | 'tablas' | 'echo' | 'progress' | 'signal'> {
  /** `--reparar`. */
  reparar: boolean;
  /** `--max-segundos`, for all tables together. */
  maxSegundos?: number;
  /** Told how it ended, also before any table. */
  onEnd(result: VerifiedTables): void;
}

/** Runs `verify`: compares the tables with what the centre has. Answers why it ended; throws as runSync. */
export async function runVerify({ reparar, maxSegundos, onEnd, ...rest }: VerifyCommandOptions): Promise<ExitReason> {
  let told = false;
  return runSync({
    ...rest,
    ...{ upload: true, download: true, usesSpool: true, ahora: true },
    onEnd: ({ resultado }) => {
      if (!told) onEnd({ tablas: [], errores: [], reason: resultado as ExitReason });
    },
    work: async (context, config, { tablas }) => {
      const result = await verifyTables(context, config, { tablas, reparar, maxSegundos });
      told = true;
      onEnd(result);
      const { reason } = result;
      const failed = result.errores.length;
      return { estado: 'exitoso', reason, done: result.tablas.length, failed, skipped: 0, tablas: [] };
    },
  });
}

const HEADS = ['tabla', 'filas origen', 'filas destino', 'iguales', 'distintas', 'faltan', 'sobran', 'en vuelo', 's'];

/** Returns a verification as an operator reads it: a line a table, then what there is to say, and samples. */
export function describeVerification({ tablas, errores }: VerifiedTables): string[] {
  const rows = tablas.map((one) => [
    one.tabla,
    ...[one.filasOrigen, one.filasDestino, one.iguales, one.distintas, one.faltan, one.sobran, one.enVuelo].map(count),
    decimal((Date.parse(one.fin) - Date.parse(one.inicio)) / 1000),
  ]);
  return [
    ...(rows.length === 0 ? [] : table([HEADS, ...rows])),
    ...tablas.flatMap(describeTable),
    ...errores.map(({ tabla, mensaje }) => `${tabla}: no se pudo comparar: ${mensaje}`),
  ];
}

const OUTCOMES: Record<Verificacion['estado'], string> = {
  iguales: 'iguales',
  diferencias: 'no son iguales',
  incompleta: 'sin terminar',
  sin_comparar: 'no se comparó',
};

function describeTable({ tabla, estado, mensaje, muestras, reparadas, direccion }: Verificacion): string[] {
  const words = [
    OUTCOMES[estado],
    mensaje,
    reparadas > 0 ? `se ${direccion === 'upload' ? 'enviaron' : 'bajaron'} otra vez ${count(reparadas)} filas` : null,
  ];
  const samples = muestras.map(({ diferencia, clave, columnas }) => {
    const where = columnas.length === 0 ? '' : `: ${columnas.join(', ')}`;
    return `  ${diferencia} «${clave}»${where}`;
  });
  return [`${tabla}: ${words.filter((word) => word !== null).join('; ')}`, ...samples];
}
