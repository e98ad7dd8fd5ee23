import Type from 'typebox';
import { limits } from '../constants.ts';
import { downloadFields, TablaBajadaSchema } from './download-table.ts';
import { field, schemasOf } from './field.ts';
import { TablaSubidaSchema, uploadFields } from './upload-table.ts';
import { Hora, Strict } from './values.ts';

const quietFields = {
  desde: field(Hora, { english: 'from', description: 'desde esta hora', touches: { pace: true } }),
  hasta: field(Hora, { english: 'until', description: 'hasta esta, sin ella', touches: { pace: true } }),
};

/** What `configuracionTablas` says beside its two lists of tables. */
export const settingsFields = {
  spoolMaxMb: field(Type.Optional(Type.Integer({ minimum: 1, maximum: 1_048_576 })), {
    english: 'bound of the spool, MB',
    description: `MB que pueden ocupar en el disco del agente (\`spool/\`) las subidas en curso, comprimidas. Cuando se llena, la lectura espera a que el backend reciba. Por omisión, ${limits.spoolMaxMb}`,
    touches: { pace: true },
  }),
  trozoKb: field(Type.Optional(Type.Integer({ minimum: 64, maximum: 8192 })), {
    english: 'size of a chunk, KB',
    description:
      'KB de filas (sin comprimir) con los que se cierra cada trozo que se envía, de 64 a 8192. En líneas que se cortan a menudo conviene menos: un corte repite a lo sumo un trozo por conexión. Por omisión, 8192',
    touches: { pace: true },
  }),
  limiteKbps: field(Type.Optional(Type.Integer({ minimum: 64, maximum: 10_000_000 })), {
    english: 'bandwidth, kbit/s',
    description:
      'kilobits por segundo que pueden usar entre todas las subidas y bajadas de una ejecución, desde 64. Por omisión, sin límite',
    touches: { pace: true },
  }),
  tablasALaVez: field(Type.Optional(Type.Integer({ minimum: 1, maximum: 8 })), {
    english: 'tables at once',
    description: 'tablas que el agente sincroniza a la vez, de 1 a 8; véase «Varias tablas a la vez». Por omisión, 1',
    touches: { pace: true },
  }),
  horasSilencio: field(Type.Optional(Type.Array(Type.Object(schemasOf(quietFields), Strict), { maxItems: 24 })), {
    english: 'quiet hours',
    description:
      '`[{ "desde": "08:00", "hasta": "20:00" }]`: horas del equipo del agente en las que una ejecución termina sin hacer nada, con código 0; si `hasta` es anterior a `desde`, abarca la medianoche',
    touches: { pace: true },
    members: quietFields,
  }),
};

/** Of a table, by direction. */
export const tableFields = { upload: uploadFields, download: downloadFields };

export const ConfiguracionTablasSchema = Type.Object(
  {
    tablasSubida: Type.Optional(Type.Array(TablaSubidaSchema, { maxItems: 1000 })),
    tablasBajada: Type.Optional(Type.Array(TablaBajadaSchema, { maxItems: 1000 })),
    ...schemasOf(settingsFields),
  },
  Strict,
);

export type ConfiguracionTablas = Type.Static<typeof ConfiguracionTablasSchema>;
