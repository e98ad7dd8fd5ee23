import Type from 'typebox';
import { BAJAS_ENGLISH, BajasBajadaSchema, CAMBIOS_ENGLISH, CambiosBajadaSchema } from './changes.ts';
import { field, laterSql, schemasOf } from './field.ts';
import { GuardaSchema, guardFields, sqlOfGuard } from './guard.ts';
import { FaseSchema, ProcessSchema, phaseFields, processFields, sqlOfPhase } from './phases.ts';
import {
  ColumnName,
  ColumnNames,
  ConnectionName,
  PrimaryKey,
  primaryKeyOf,
  Strict,
  TableName,
  VERIFICAR_ENGLISH,
  Verificar,
} from './values.ts';

/** Of an entry of `schema.columns`. */
export const columnFields = {
  name: field(ColumnName, {
    english: 'column name',
    description: 'nombre de la columna',
    touches: { identity: true, sql: true },
  }),
  type: field(Type.String({ minLength: 1, maxLength: 64 }), {
    english: 'SQL type',
    description: 'su tipo en SQL Server, como `VARCHAR(20)`; véase «Los tipos del destino»',
    touches: { sql: true },
  }),
  nullable: field(Type.Optional(Type.Boolean()), {
    english: 'may be NULL',
    description: '`false`: NOT NULL. Por omisión, `true`',
    touches: { sql: true },
  }),
};

export const ColumnaSchema = Type.Object(schemasOf(columnFields), Strict);

const schemaFields = {
  columns: field(Type.Array(ColumnaSchema, { minItems: 1, maxItems: 1024 }), {
    english: 'columns',
    description: 'las columnas, cada una con `name`, `type` y `nullable`',
    touches: { sql: true },
    members: columnFields,
  }),
};

export const EsquemaSchema = Type.Object(schemasOf(schemaFields), Strict);
export type Esquema = Type.Static<typeof EsquemaSchema>;

function sqlOfColumn(column: Type.Static<typeof ColumnaSchema>): string {
  const { name, type, nullable } = column;
  const later = laterSql(columnFields, column, ['name', 'type', 'nullable']);
  return [`${name} ${type}${nullable === false ? ' NOT NULL' : ''}`, ...later].join(', ');
}

function sqlOfSchema(schema: Esquema | undefined): string {
  if (schema === undefined) return 'columnas (las que diga el backend)';
  return [...schema.columns.map(sqlOfColumn), ...laterSql(schemaFields, schema, ['columns'])].join('\n');
}

/** Of a download table, in the order in which the documentation and the text that is approved list them. */
export const downloadFields = {
  nombre: field(TableName, {
    english: 'name',
    description: 'tabla de destino en SQL Server; se crea con `schema` si falta',
    touches: { identity: true, sql: (nombre) => `tabla ${nombre}` },
    place: 'destino',
  }),
  conexion: field(Type.Optional(ConnectionName), {
    english: 'which connection',
    description: 'nombre de la conexión a SQL Server que usa, si no es la del tenant; véase «Varias bases de datos»',
    touches: { server: true, sql: true },
    place: 'conexión',
  }),
  primaryKey: field(Type.Optional(PrimaryKey), {
    english: 'key columns',
    description: 'clave de la tabla que se crea y de la actualización incorporada',
    touches: {
      sql: (primaryKey) => {
        const columns = primaryKeyOf(primaryKey === undefined ? {} : { primaryKey });
        return `clave ${columns.join(', ') || '(la que diga el backend)'}`;
      },
    },
    place: 'destino',
  }),
  schema: field(Type.Optional(EsquemaSchema), {
    english: 'columns of the target',
    description: '`{ "columns": [ … ] }`: columnas, con `name`, `type` y `nullable`; véase «Los tipos del destino»',
    touches: { sql: sqlOfSchema },
    place: 'destino',
    members: schemaFields,
  }),
  cambios: field(Type.Optional(CambiosBajadaSchema), {
    english: CAMBIOS_ENGLISH,
    description:
      'qué baja: `completo` (por omisión; todo, cada vez) o `huellas` (solo lo que cambió, y las bajas); véase «Bajar solo lo que cambió»',
    touches: { sql: (cambios) => (cambios === 'huellas' ? 'solo lo que cambió, y lo que ya no está' : undefined) },
    place: 'destino',
  }),
  bajas: field(Type.Optional(BajasBajadaSchema), {
    english: BAJAS_ENGLISH,
    description:
      'con `cambios: "huellas"`: qué pasa en el destino con las filas que ya no bajan: `borrar` (por omisión; con `post_process`, lo que haga su SQL con `{temp_bajas}`) o `ignorar`',
    touches: { sql: (bajas) => (bajas === undefined ? undefined : `bajas: ${bajas}`) },
    place: 'destino',
  }),
  guarda: field(Type.Optional(GuardaSchema), {
    english: 'guard',
    description: 'como en las subidas, para las filas que la bajada quitaría del destino',
    touches: { guard: true, sql: sqlOfGuard },
    members: guardFields,
  }),
  verificar: field(Type.Optional(Verificar), {
    english: VERIFICAR_ENGLISH,
    description:
      'cada cuánto `sync` compara el destino con lo que bajaría del backend, después de bajarla: `diario`, `semanal` o `mensual`; véase `verify` en el manual de operación',
    touches: { pace: true },
  }),
  camposSensibles: field(Type.Optional(ColumnNames), {
    english: 'sensitive columns',
    description: 'columnas que el agente descifra al bajarlas; véase «Campos sensibles»',
    touches: { secrecy: (columns = []) => columns },
  }),
  process: field(ProcessSchema, {
    english: 'what is read',
    description:
      '`{ "query": "…" }`: SQL que se ejecuta en PostgreSQL, o la forma corta `parametros_maestros.tipo_campo=cuenta`',
    touches: { centre: true },
    members: processFields,
  }),
  pre_process: field(Type.Optional(FaseSchema), {
    english: 'phase before',
    description: 'fase antes de bajar; `{tabla}` es el destino. Véase «Fases»',
    touches: { sql: (fase) => sqlOfPhase(fase, 'download') },
    members: phaseFields,
  }),
  post_process: field(Type.Optional(FaseSchema), {
    english: 'phase after',
    description:
      'fase que lleva lo bajado al destino; `{temp_table}` es la tabla temporal con lo descargado, `{temp_bajas}`, con `cambios: "huellas"`, la que tiene las claves que ya no están, y `{tabla}` el destino. Véase «Fases»',
    touches: { sql: (fase) => sqlOfPhase(fase, 'download') },
    members: phaseFields,
  }),
};

export const TablaBajadaSchema = Type.Object(schemasOf(downloadFields), Strict);
export type TablaBajada = Type.Static<typeof TablaBajadaSchema>;
