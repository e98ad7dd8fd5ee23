import Type from 'typebox';
import { POLITICAS, type Politica } from '../rows/drift.ts';
import { BAJAS_ENGLISH, BajasSchema, CAMBIOS_ENGLISH, CambiosSchema } from './changes.ts';
import { type FieldsTouching, field, laterRows, laterSql, rowsOf, schemasOf } from './field.ts';
import { GuardaSchema, guardFields } from './guard.ts';
import { FaseSchema, ProcessSchema, phaseFields, processFields, rowsOfPhase, sqlOfPhase } from './phases.ts';
import { deriveTipoCampo } from './tipo-campo.ts';
import {
  ColumnName,
  ColumnNames,
  ConnectionName,
  Duracion,
  PrimaryKey,
  primaryKeyOf,
  Strict,
  TableName,
  VERIFICAR_ENGLISH,
  Verificar,
} from './values.ts';

/** Of `particion`. */
export const particionFields = {
  columna: field(ColumnName, {
    english: 'column',
    description: 'columna de un índice único, sin NULL, por la que se ordenan los rangos',
    touches: { sql: true, reading: true },
  }),
  filas: field(Type.Integer({ minimum: 1, maximum: 100_000_000 }), {
    english: 'rows of each range',
    description: 'filas de cada rango',
    touches: { sql: true, reading: true },
  }),
};

/** Of each table in `seguimiento`. */
export const seguimientoFields = {
  tabla: field(TableName, {
    english: 'base table',
    description: 'tabla base con Change Tracking, con su esquema: `dbo.clientes`',
    touches: { rows: true, sql: true },
  }),
  clave: field(Type.Optional(Type.Record(ColumnName, ColumnName, { minProperties: 1 })), {
    english: 'its key columns in the query',
    description:
      '`{ "id": "id_cliente" }`: qué columna de la consulta es cada columna de su clave primaria. Por omisión, las del mismo nombre',
    touches: { rows: true, sql: true },
  }),
  quitaFilas: field(Type.Optional(Type.Boolean()), {
    english: 'whether a change in it may take rows out of the query',
    description:
      'de una tabla que no es la primera: si un cambio en ella puede sacar filas de la consulta. `true` (por omisión): con cada cambio suyo la tabla se compara entera. `false`, solo si se une con LEFT JOIN y no está en el WHERE',
    touches: { rows: true },
  }),
};

/** Of an upload table, in the order in which the documentation lists them. */
export const uploadFields = {
  nombre: field(TableName, {
    english: 'name',
    description: 'nombre de la tabla o vista; identifica la tabla en los logs y en `--tabla`',
    touches: { identity: true },
  }),
  conexion: field(Type.Optional(ConnectionName), {
    english: 'which connection',
    description: 'nombre de la conexión a SQL Server que usa, si no es la del tenant; véase «Varias bases de datos»',
    touches: { server: true, sql: true },
    place: 'conexión',
  }),
  primaryKey: field(Type.Optional(PrimaryKey), {
    english: 'key columns',
    description: 'columna o lista de columnas que forman la clave; véase «La clave de cada fila»',
    touches: { rows: (primaryKey) => primaryKeyOf(primaryKey === undefined ? {} : { primaryKey }) },
  }),
  cambios: field(Type.Optional(CambiosSchema), {
    english: CAMBIOS_ENGLISH,
    description:
      'cómo se sabe qué cambió: `completo` (por omisión; sube todo), `marca` (`@ultimaSync`), `rowversion`, `seguimiento` o `huellas`; véase «Qué `cambios` elegir»',
    touches: { reading: true },
  }),
  incremental: field(Type.Optional(Type.Boolean()), {
    english: 'only what changed',
    description:
      'la forma anterior de `cambios`: `true` es `marca` (la consulta debe usar `@ultimaSync`) y `false`, `completo`',
    touches: { reading: true },
  }),
  campoFecha: field(Type.Optional(ColumnName), {
    english: 'column with the date of change',
    description: 'columna con la fecha de cambio (el filtro es el de la consulta; `doctor` mira si tiene índice)',
    touches: { rows: true },
  }),
  tipoCampo: field(Type.Optional(Type.String({ minLength: 1, maxLength: 100 })), {
    english: 'kind of record (`tipo_campo`)',
    description:
      '`tipo_campo` de sus filas en `parametros_maestros`. Por omisión se deduce del nombre: `vista_proveedores` → `proveedor`',
    touches: { rows: (tipoCampo, { nombre }) => tipoCampo ?? deriveTipoCampo(nombre) },
  }),
  columna: field(Type.Optional(ColumnName), {
    english: 'rowversion column',
    description:
      'con `cambios: "rowversion"`: la columna de la consulta que es de tipo `rowversion`; véase «Qué `cambios` elegir»',
    touches: { rows: true, sql: true },
  }),
  seguimiento: field(Type.Optional(Type.Array(Type.Object(schemasOf(seguimientoFields), Strict), { minItems: 1 })), {
    english: 'base tables with Change Tracking',
    description:
      'con `cambios: "seguimiento"`: las tablas base de la consulta, primero aquella cuya clave primaria es la de cada fila; véase «Qué `cambios` elegir»',
    touches: {
      rows: true,
      sql: (tablas) => tablas?.map(({ tabla, clave = {} }) => `${tabla} ${JSON.stringify(clave)}`).join('\n'),
    },
    members: seguimientoFields,
  }),
  bajas: field(Type.Optional(BajasSchema), {
    english: BAJAS_ENGLISH,
    description:
      'qué pasa con las filas que ya no están en el origen: `desactivar` (`activo = false`; por omisión con `huellas` y `seguimiento`), `borrar` o `ignorar` (por omisión en las demás). `marca` y `rowversion` solo las conocen con `completoCada`',
    touches: { centre: true },
  }),
  desactivarAusentes: field(Type.Optional(Type.Boolean()), {
    english: 'deactivate rows that are gone',
    description: 'la forma anterior de `bajas`: `true` es `desactivar`',
    touches: { centre: true },
  }),
  guarda: field(Type.Optional(GuardaSchema), {
    english: 'guard',
    description:
      '`{ "bajas": 500, "porciento": 20 }`: cuántas filas, y qué parte de la tabla, tienen que faltar para que esperen a que alguien lo apruebe; véase «Bajas retenidas» en `operacion.md`. Los dos límites se han de superar, y la tabla ha de tener 100 filas. Un origen vacío espera siempre',
    touches: { centre: true, guard: true },
    members: guardFields,
  }),
  esquema: field(Type.Optional(Type.Unsafe<Politica>(Type.Union(POLITICAS.map((one) => Type.Literal(one))))), {
    english: 'changed columns: `evolucionar` (go on), `avisar` (go on and wait for a person), `congelar` (stop)',
    description:
      'qué pasa si cambian las columnas de la consulta: `avisar` (por omisión; lo que podría perder algo espera a que alguien lo apruebe), `evolucionar` (todo sigue) o `congelar` (la tabla se detiene). Otra clave la detiene siempre; véase «Columnas que cambian» en `operacion.md`',
    touches: { centre: true },
  }),
  clavesRepetidas: field(Type.Optional(Type.Union([Type.Literal('error'), Type.Literal('ultima')])), {
    english: 'repeated keys: `error`, or `ultima` (the last one counts)',
    description:
      'qué pasa si dos filas de una misma subida tienen la misma clave: `error` (por omisión; no se aplica nada) o `ultima` (queda la última y se cuentan las demás)',
    touches: { centre: true },
  }),
  reloj: field(Type.Optional(Type.Union([Type.Literal('local'), Type.Literal('utc')])), {
    english: 'clock of the dates: `local`, `utc`',
    description: 'reloj de `campoFecha`: `local` (GETDATE, por omisión) o `utc`',
    touches: { rows: (reloj = 'local') => reloj },
  }),
  solapeSegundos: field(Type.Optional(Type.Integer({ minimum: 0, maximum: 604_800 })), {
    english: 'overlap in seconds',
    description:
      'cuánto se retrasa la marca, por las transacciones que estaban abiertas durante la lectura. Por omisión, 60',
    touches: { reading: true },
  }),
  verificar: field(Type.Optional(Verificar), {
    english: VERIFICAR_ENGLISH,
    description:
      'cada cuánto `sync` la compara con lo que tiene el backend, después de subirla: `diario`, `semanal` o `mensual`; véase `verify` en el manual de operación',
    touches: { pace: true },
  }),
  completoCada: field(Type.Optional(Duracion), {
    english: 'how often it is read whole',
    description:
      'tablas que no son `completo`: cada cuánto se sube la tabla entera, en horas o días (`12h`, `7d`; de `1h` a `999d`). Por omisión, nunca',
    touches: { reading: true },
  }),
  camposSensibles: field(Type.Optional(ColumnNames), {
    english: 'sensitive columns',
    description: 'lista de columnas que salen cifradas del equipo del tenant; véase «Campos sensibles»',
    touches: { secrecy: (columns = []) => columns },
  }),
  pre_process: field(Type.Optional(FaseSchema), {
    english: 'phase before',
    description: 'fase antes de leer; véase «Fases»',
    touches: { rows: rowsOfPhase, sql: (fase) => sqlOfPhase(fase, 'upload') },
    members: phaseFields,
  }),
  post_process: field(Type.Optional(FaseSchema), {
    english: 'phase after',
    description: 'fase después de guardar; véase «Fases»',
    touches: { sql: (fase) => sqlOfPhase(fase, 'upload'), centre: true },
    members: phaseFields,
  }),
  process: field(ProcessSchema, {
    english: 'what is read',
    description: '`{ "query": "SELECT …" }`: la consulta que se ejecuta en SQL Server',
    touches: {
      rows: (process, tabla) => withLater(process?.query, laterRows(processFields, process ?? {}, ['query'], tabla)),
      sql: (process) => process && [process.query, ...laterSql(processFields, process, ['query'])].join('\n'),
    },
    members: processFields,
  }),
  particion: field(Type.Optional(Type.Object(schemasOf(particionFields), Strict)), {
    english: 'read in ranges',
    description:
      '`{ "columna": "id", "filas": 500000 }`: la tabla se lee por rangos de esa columna; véase «Tablas muy grandes»',
    touches: {
      reading: true,
      sql: (particion) =>
        particion &&
        [
          `${particion.columna}, ${particion.filas} filas`,
          ...laterSql(particionFields, particion, ['columna', 'filas']),
        ].join('\n'),
    },
    members: particionFields,
  }),
};

export const TablaSubidaSchema = Type.Object(schemasOf(uploadFields), Strict);
export type TablaSubida = Type.Static<typeof TablaSubidaSchema>;

type InMark = FieldsTouching<typeof uploadFields, 'rows'>;
/** The order in which the fingerprints on tenants' disks hold these fields: not to be changed, nor added to. */
const FIRST_FORM = ['process', 'primaryKey', 'tipoCampo', 'campoFecha'] as const satisfies InMark[];
/** What the second form of the fingerprint took in. */
const SECOND_FORM = ['reloj', 'pre_process'] as const satisfies InMark[];

/**
 * Returns what of a table makes its mark void when it changes: the two forms that are on disks, and every later field
 * that is given. A table that gives none of those has the fingerprint that it always had.
 */
export function markParts(tabla: TablaSubida): { first: unknown[]; second: unknown[]; later: [string, unknown][] } {
  const partOf = (name: InMark) => rowsOf(uploadFields[name], tabla[name], tabla) ?? null;
  const later = laterRows(uploadFields, tabla, [...FIRST_FORM, ...SECOND_FORM], tabla);
  return { first: FIRST_FORM.map(partOf), second: SECOND_FORM.map(partOf), later };
}

function withLater(value: unknown, later: readonly unknown[]): unknown {
  return later.length === 0 ? value : [value, later];
}
