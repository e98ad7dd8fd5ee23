import Type from 'typebox';
import { limits } from '../constants.ts';

/** `configuracionTablas` of a tenant and what the agent fetches: the specification's names and shapes. */

/** Wall clock, to the minute. */
export const HORA = '^([01]\\d|2[0-3]):[0-5]\\d$';
/** From an hour to 999 days. */
export const DURACION = '^[1-9]\\d{0,2}[hd]$';
/** A name of a connection (CONNECTION_RULE says it in words). */
export const CONEXION = '^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$';
const Strict = { additionalProperties: false } as const;
const Sql = Type.String({ minLength: 1, maxLength: 200_000 });
const TableName = Type.String({
  minLength: 1,
  maxLength: limits.tableNameMaxLength,
  pattern: '^[^\\u0000-\\u001f/\\\\]+$',
});
const ColumnName = Type.String({ minLength: 1, maxLength: 128 });

/** Which side a phase runs on. Upload: origen = SQL Server, destino = PostgreSQL; download the other way round. */
export const EjecutarEnSchema = Type.Union([Type.Literal('origen'), Type.Literal('destino')]);

const FaseSchema = Type.Object(
  {
    enabled: Type.Optional(Type.Boolean()),
    ejecutarEn: Type.Optional(EjecutarEnSchema),
    sql: Type.Optional(Type.String({ maxLength: 200_000 })),
  },
  Strict,
);

const ProcessSchema = Type.Object({ query: Sql }, Strict);
const PrimaryKeySchema = Type.Union([ColumnName, Type.Array(ColumnName, { minItems: 1, maxItems: 16 })]);

/** Which of `sqlServerConexiones`; the `sqlServer…` columns of the specification are the one without a name. */
const NombreConexionSchema = Type.Optional(Type.String({ pattern: CONEXION }));

/** Columns that the agent encrypts before they leave the tenant's machine, and decrypts when they come down. */
const CamposSensiblesSchema = Type.Optional(Type.Array(ColumnName, { minItems: 1, maxItems: 256 }));

/** When bajas wait for an administrator (guard.ts says the defaults). */
const GuardaSchema = Type.Optional(
  Type.Object(
    {
      bajas: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000_000 })),
      porciento: Type.Optional(Type.Number({ minimum: 0, maximum: 100 })),
    },
    Strict,
  ),
);

export const TablaSubidaSchema = Type.Object(
  {
    nombre: TableName,
    conexion: NombreConexionSchema,
    primaryKey: Type.Optional(PrimaryKeySchema),
    /** Only what changed since the last run: `@ultimaSync`. Default false. */
    incremental: Type.Optional(Type.Boolean()),
    campoFecha: Type.Optional(ColumnName),
    /** The `tipo_campo` of its rows; derived from `nombre` when missing. */
    tipoCampo: Type.Optional(Type.String({ minLength: 1, maxLength: 100 })),
    /** Uploads of everything (also by `completoCada`): rows of this `tipo_campo` that the source no longer has become `activo = false`. */
    desactivarAusentes: Type.Optional(Type.Boolean()),
    guarda: GuardaSchema,
    /** What rows of one upload with one key are: an error (default), or the last of them the one that counts. */
    clavesRepetidas: Type.Optional(Type.Union([Type.Literal('error'), Type.Literal('ultima')])),
    /** Which clock `campoFecha` holds: SQL Server's local time (GETDATE) or UTC. Default local. */
    reloj: Type.Optional(Type.Union([Type.Literal('local'), Type.Literal('utc')])),
    /** The mark is set back by this much, for transactions still open while the table is read. Default 60. */
    solapeSegundos: Type.Optional(Type.Integer({ minimum: 0, maximum: 604_800 })),
    /** Incremental tables: how old the last reading from the beginning may be: `12h`, `7d`. */
    completoCada: Type.Optional(Type.String({ pattern: DURACION })),
    /** Read in ranges of a unique key, `filas` rows each: a reading that breaks goes on behind the last whole range. */
    particion: Type.Optional(
      Type.Object({ columna: ColumnName, filas: Type.Integer({ minimum: 1, maximum: 100_000_000 }) }, Strict),
    ),
    camposSensibles: CamposSensiblesSchema,
    pre_process: Type.Optional(FaseSchema),
    process: ProcessSchema,
    post_process: Type.Optional(FaseSchema),
  },
  Strict,
);

export const ColumnaSchema = Type.Object(
  { name: ColumnName, type: Type.String({ minLength: 1, maxLength: 64 }), nullable: Type.Optional(Type.Boolean()) },
  Strict,
);
export const EsquemaSchema = Type.Object(
  { columns: Type.Array(ColumnaSchema, { minItems: 1, maxItems: 1024 }) },
  Strict,
);

export const TablaBajadaSchema = Type.Object(
  {
    nombre: TableName,
    conexion: NombreConexionSchema,
    primaryKey: Type.Optional(PrimaryKeySchema),
    schema: Type.Optional(EsquemaSchema),
    guarda: GuardaSchema,
    camposSensibles: CamposSensiblesSchema,
    pre_process: Type.Optional(FaseSchema),
    process: ProcessSchema,
    post_process: Type.Optional(FaseSchema),
  },
  Strict,
);

const Hora = Type.String({ pattern: HORA });

export const ConfiguracionTablasSchema = Type.Object(
  {
    tablasSubida: Type.Optional(Type.Array(TablaSubidaSchema, { maxItems: 1000 })),
    tablasBajada: Type.Optional(Type.Array(TablaBajadaSchema, { maxItems: 1000 })),
    /** MB of the agent's disk that uploads under way may take. Default `limits.spoolMaxMb`. */
    spoolMaxMb: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_048_576 })),
    /** KB of NDJSON at which the agent closes a chunk: less for lines that break often. Default 8192. */
    trozoKb: Type.Optional(Type.Integer({ minimum: 64, maximum: 8192 })),
    /** Thousands of bits a second that the agent's uploads and downloads keep to together. Default: no limit. */
    limiteKbps: Type.Optional(Type.Integer({ minimum: 64, maximum: 10_000_000 })),
    /** Tables that the agent runs at once, begun in the order of the list, all uploads before the first download. Default 1. */
    tablasALaVez: Type.Optional(Type.Integer({ minimum: 1, maximum: 8 })),
    /** Hours in which the agent does nothing, on its own wall clock; `hasta` before `desde`: across midnight. */
    horasSilencio: Type.Optional(Type.Array(Type.Object({ desde: Hora, hasta: Hora }, Strict), { maxItems: 24 })),
  },
  Strict,
);

/** Another SQL Server database of the tenant. Without a password the agent has to have its own. */
const conexionFields = {
  host: Type.String({ minLength: 1, maxLength: 255 }),
  /** Default 1433. */
  port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })),
  database: Type.String({ minLength: 1, maxLength: 128 }),
  user: Type.String({ minLength: 1, maxLength: 128 }),
  password: Type.Optional(Type.String({ minLength: 1, maxLength: 4096 })),
};

/** `sqlServerConexiones`: by name, as `findConnectionProblems` checks it. */
export const ConexionesSchema = Type.Record(Type.String(), Type.Object(conexionFields, Strict));

/** The answer of GET /config/:tenantId. */
export const ConfigResponseSchema = Type.Object({
  success: Type.Literal(true),
  id: Type.String(),
  tenantId: Type.String(),
  sqlServerHost: Type.String(),
  sqlServerPort: Type.Integer(),
  sqlServerDatabase: Type.String(),
  sqlServerUser: Type.String(),
  sqlServerPassword: Type.String(),
  /** Missing where there are none, and from servers of an earlier version. */
  sqlServerConexiones: Type.Optional(Type.Record(Type.String(), Type.Object(conexionFields))),
  configuracionTablas: Type.Unknown(),
  version: Type.Integer(),
  ultimaModificacion: Type.String(),
  /** Upload tables whose key is still that of earlier versions (SPEC.md, R2); missing where there are none. */
  clavesAnteriores: Type.Optional(Type.Array(Type.String())),
});

export type Fase = Type.Static<typeof FaseSchema>;
export type TablaSubida = Type.Static<typeof TablaSubidaSchema>;
export type TablaBajada = Type.Static<typeof TablaBajadaSchema>;
export type Esquema = Type.Static<typeof EsquemaSchema>;
export type Conexion = Type.Static<typeof ConexionesSchema>[string];
export type Conexiones = Readonly<Record<string, Conexion>>;
export type ConfiguracionTablas = Type.Static<typeof ConfiguracionTablasSchema>;
export type ConfigResponse = Omit<Type.Static<typeof ConfigResponseSchema>, 'configuracionTablas'> & {
  configuracionTablas: ConfiguracionTablas;
};
export type EjecutarEn = Type.Static<typeof EjecutarEnSchema>;
export type NombreFase = 'pre_process' | 'process' | 'post_process';
export type Direccion = 'upload' | 'download';

/** Whether the phase is to run on `side`. A phase runs when it is enabled; by default it runs at SQL Server. */
export function isPhaseAt(
  fase: Fase | undefined,
  direccion: Direccion,
  side: EjecutarEn,
): fase is Fase & { sql: string } {
  if (fase?.enabled !== true || fase.sql === undefined || fase.sql === '') return false;
  const atSqlServer: EjecutarEn = direccion === 'upload' ? 'origen' : 'destino';
  return (fase.ejecutarEn ?? atSqlServer) === side;
}

/** `primaryKey` as a list, empty when the configuration gives none. */
export function primaryKeyOf(tabla: { primaryKey?: string | string[] }): string[] {
  if (tabla.primaryKey === undefined) return [];
  return typeof tabla.primaryKey === 'string' ? [tabla.primaryKey] : tabla.primaryKey;
}
