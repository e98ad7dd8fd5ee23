import Type from 'typebox';
import {
  EstadoVerificacionSchema,
  MuestraSchema,
  VerificacionSchema,
} from '../../protocol/endpoints/verificaciones.ts';
import { TableFile } from './table-file.ts';

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

/** By `direccion/tabla`. */
export const verifications = new TableFile('verificaciones.json', StateSchema);
