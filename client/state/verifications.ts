import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import {
  EstadoVerificacionSchema,
  MuestraSchema,
  VerificacionSchema,
} from '../../protocol/endpoints/verificaciones.ts';
import { writeFileAtomically } from '../files/files.ts';
import { assertFormat, isNewerFile, stampOf } from '../files/format.ts';

/**
 * `verificaciones.json`: how the last comparison of each table ended, and where one that did not come to its end goes on. Nothing that
 * is synchronised depends on it: a file that cannot be read counts as none.
 */
const Count = Type.Integer({ minimum: 0 });

/** Of the buckets that were compared. */
export const TotalsSchema = Type.Object({
  filasOrigen: Count,
  filasDestino: Count,
  iguales: Count,
  distintas: Count,
  faltan: Count,
  sobran: Count,
  enVuelo: Count,
  /** Not active at the centre, and not at the source: equal. */
  inactivas: Count,
  /** Rows of the source whose key came before. */
  repetidas: Count,
  /** Differences past those that were looked at a second time. */
  sinMirar: Count,
  muestras: Type.Array(MuestraSchema),
});
export type Totals = Type.Static<typeof TotalsSchema>;

/** Where a comparison goes on. */
const ResumeSchema = Type.Object({
  /** Of what it was made with. */
  huella: Type.String(),
  semilla: Type.String(),
  bits: Count,
  /** The first bucket that was not compared. */
  cubo: Count,
  totales: TotalsSchema,
});
export type Resume = Type.Static<typeof ResumeSchema>;

const { tabla: _tabla, muestras: _muestras, ...figures } = VerificacionSchema.properties;
const StateSchema = Type.Object({
  ultima: Type.Optional(Type.Object({ ...figures, estado: EstadoVerificacionSchema })),
  sigue: Type.Optional(ResumeSchema),
});
export type VerificationState = Type.Static<typeof StateSchema>;

const FORMAT = 1;
const FILE_NAME = 'verificaciones.json';
const checker = Compile(Type.Object({ tablas: Type.Record(Type.String(), StateSchema) }));

/** By `direccion/tabla`. Throws ARCHIVO_MAS_NUEVO, and nothing else. */
export async function readVerifications(folder: string): Promise<Record<string, VerificationState>> {
  const path = join(folder, FILE_NAME);
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    assertFormat(path, value, FORMAT);
    if (checker.Check(value)) return value.tablas;
  } catch (error) {
    if (isNewerFile(error)) throw error;
  }
  return {};
}

let writing: Promise<unknown> = Promise.resolve();

/** Puts `state` in the place of what was known of a table; one after the other. Throws what the disk says. */
export function keepVerification(folder: string, table: string, state: VerificationState): Promise<void> {
  const write = async () => {
    const tablas = { ...(await readVerifications(folder)), [table]: state };
    const content = `${JSON.stringify({ ...stampOf(FORMAT), tablas }, undefined, 1)}\n`;
    await writeFileAtomically(join(folder, FILE_NAME), content);
  };
  const done = writing.then(write, write);
  writing = done.catch(() => {});
  return done;
}
