import Type from 'typebox';
import { Count, DireccionSchema, TextOrNull } from './endpoints/fields.ts';
import { StatusResponseSchema } from './endpoints/logs.ts';
import { VerificacionSchema } from './endpoints/verificaciones.ts';

/**
 * What `sync --json` (an object a line), `status --json` and `doctor --json` (one object) print. Programs of other people read
 * it: what is here stays as it is while `formato` does. A member more is no new format; a reader passes over what it does not know.
 */
export const OUTPUT_FORMAT = 1;

const closed = { additionalProperties: false } as const;
const formato = Type.Literal(OUTPUT_FORMAT);
const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

export const TableRunOutput = Type.Object(
  {
    direccion: DireccionSchema,
    tabla: Type.String(),
    estado: Type.Union([Type.Literal('exitoso'), Type.Literal('error')]),
    /** ISO, the agent's clock. */
    inicio: Type.String(),
    fin: Type.String(),
    /** Rows that went over the line; 0 after a failure. */
    filas: Count,
    /** Of a failure: what happened and what to do. */
    mensaje: TextOrNull,
    /** Of a failure. */
    codigo: Type.Optional(Type.String()),
    /** Rows that wait for an administrator. */
    bajasRetenidas: Type.Optional(Count),
    /** Changes of columns that wait for him. */
    columnasPendientes: Type.Optional(Count),
  },
  closed,
);

const run = {
  inicio: Type.String(),
  fin: Type.String(),
  /** A name of the agent's exit codes. */
  resultado: Type.String(),
  /** Of the error that ended it before any table. */
  codigo: Type.Optional(Type.String()),
  bien: Count,
  conError: Count,
  sinEmpezar: Count,
};

/** A line of the log. */
export const LogEvent = Type.Object(
  {
    evento: Type.Literal('registro'),
    formato,
    /** `2024-01-15 10:30:00.123`, the agent's clock. */
    hora: Type.String(),
    nivel: Type.Union([Type.Literal('info'), Type.Literal('warn'), Type.Literal('error')]),
    tabla: TextOrNull,
    texto: Type.String(),
  },
  closed,
);

/** A table under way, once a second. */
export const ProgressEvent = Type.Object(
  {
    evento: Type.Literal('avance'),
    formato,
    direccion: DireccionSchema,
    tabla: Type.String(),
    filas: Count,
    bytes: Count,
    filasPorSegundo: Count,
    /** Rows in all, where that is known; `totalExacto` false: as many as last time. */
    total: Nullable(Count),
    totalExacto: Nullable(Type.Boolean()),
    /** What nothing moves without just now. */
    espera: TextOrNull,
  },
  closed,
);

/** The last line of a run. */
export const EndEvent = Type.Object(
  { evento: Type.Literal('fin'), formato, ...run, tablas: Type.Array(TableRunOutput) },
  closed,
);

/** In the place of everything else, where a command could not begin. */
export const FailureEvent = Type.Object(
  {
    evento: Type.Literal('fin'),
    formato,
    resultado: Type.String(),
    codigo: Type.String(),
    mensaje: Type.String(),
    accion: Type.String(),
  },
  closed,
);

export const SyncOutput = Type.Union([LogEvent, ProgressEvent, EndEvent, FailureEvent]);

/** The last line of `verify --json`; before it the lines of a run. */
export const VerifyEndEvent = Type.Object(
  {
    evento: Type.Literal('fin'),
    formato,
    /** A name of the agent's exit codes. */
    resultado: Type.String(),
    /** Of each table that was compared, what the centre keeps of it. */
    tablas: Type.Array(Type.Object(VerificacionSchema.properties, closed)),
    /** Of tables that could not be. */
    errores: Type.Array(Type.Object({ tabla: Type.String(), codigo: Type.String(), mensaje: Type.String() }, closed)),
  },
  closed,
);

export const VerifyOutput = Type.Union([LogEvent, ProgressEvent, VerifyEndEvent, FailureEvent]);

const { tabla: _tabla, direccion: _direccion, muestras: _muestras, ...verified } = VerificacionSchema.properties;
const { success: _, ...backendStatus } = StatusResponseSchema.properties;

/** Times are ISO, those of marks SQL Server's own. */
export const StatusOutput = Type.Object(
  {
    formato,
    /** Of the agent. */
    version: Type.String(),
    carpeta: Type.String(),
    tenant: Type.String(),
    url: Type.String(),
    enMarcha: Nullable(Type.Object({ pid: Count, inicio: Type.String() }, closed)),
    /** What the scheduler says of the task `AX Sync`. */
    programacion: Type.Array(Type.String()),
    /** Newest first. */
    ejecuciones: Type.Array(Type.Object(run, closed)),
    /** Each SQL Server of the copy: `usuario@host:puerto/base`, and how many tables use it; `nombre` null: the one without. */
    conexiones: Type.Array(Type.Object({ nombre: TextOrNull, servidor: Type.String(), tablas: Count }, closed)),
    tablas: Type.Array(
      Type.Object(
        {
          direccion: DireccionSchema,
          tabla: Type.String(),
          /** Null: the one without a name. */
          conexion: TextOrNull,
          ultima: Nullable(TableRunOutput),
          exitosa: Nullable(TableRunOutput),
          /** Uploads: how far it has come, on SQL Server's local clock. */
          marca: TextOrNull,
          /** How the last comparison (`verify`) ended; null: none has. */
          verificacion: Nullable(Type.Object(verified, closed)),
        },
        closed,
      ),
    ),
    spool: Type.Object(
      {
        subidas: Type.Array(
          Type.Object(
            { tabla: Type.String(), trozos: Count, filas: Count, bytes: Count, completa: Type.Boolean() },
            closed,
          ),
        ),
        ilegibles: Count,
        masNuevas: Count,
      },
      closed,
    ),
    registrosPorEnviar: Count,
    /** The version of the copy here. */
    versionConfiguracion: Nullable(Count),
    /** What the backend says, whose version may have more to say; or why it does not. */
    backend: Type.Union([Type.Object({ error: Type.String() }, closed), Type.Object(backendStatus)]),
  },
  closed,
);

export const DoctorOutput = Type.Object(
  {
    formato,
    comprobaciones: Type.Array(
      Type.Object(
        {
          nombre: Type.String(),
          estado: Type.Union([Type.Literal('bien'), Type.Literal('aviso'), Type.Literal('falla')]),
          mensaje: Type.String(),
          /** Empty where there is nothing to do. */
          accion: Type.String(),
        },
        closed,
      ),
    ),
    /** The path of `diagnostico.txt`; null where it could not be written. */
    informe: TextOrNull,
  },
  closed,
);
