import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { limits } from './constants.ts';
import { parseLogin, parseServerName, SqlServerNameError } from './sql-server-name.ts';
import { parseSqlType } from './sql-types.ts';
import { deriveTipoCampo } from './tipo-campo.ts';

/** `configuracionTablas` of a tenant and what the agent fetches: the specification's names and shapes. */

const HORA = '^([01]\\d|2[0-3]):[0-5]\\d$';
const CONEXION = '^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$';
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
    /** Full uploads only: rows of this `tipo_campo` that the source no longer has become `activo = false`. */
    desactivarAusentes: Type.Optional(Type.Boolean()),
    /** Which clock `campoFecha` holds: SQL Server's local time (GETDATE) or UTC. Default local. */
    reloj: Type.Optional(Type.Union([Type.Literal('local'), Type.Literal('utc')])),
    /** The mark is set back by this much, for transactions still open while the table is read. Default 60. */
    solapeSegundos: Type.Optional(Type.Integer({ minimum: 0, maximum: 604_800 })),
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
const ConexionesSchema = Type.Record(Type.String(), Type.Object(conexionFields, Strict));

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

/** One thing wrong with a configuration: where, what stands there (cut to 80 characters), and the rule it breaks. */
export interface ConfigProblem {
  campo: string;
  valor: string;
  regla: string;
}

const checker = Compile(ConfiguracionTablasSchema);
const connectionsChecker = Compile(ConexionesSchema);
const MAX_CONNECTIONS = 32;

/** Everything wrong with a `configuracionTablas`, in Spanish; empty when it is valid. Bounded at 50 problems. */
export function findConfigProblems(value: unknown): ConfigProblem[] {
  if (checker.Check(value)) return findContradictions(value as ConfiguracionTablas).slice(0, 50);
  const errors = checker.Errors(value);
  // A union reports each branch; the deepest branch's own errors already say what is wrong.
  return dedupe(errors.flatMap((error) => describe(error, value, 'configuracionTablas'))).slice(0, 50);
}

/** Everything wrong with a `sqlServerConexiones`, as findConfigProblems says it; of a password its place alone. */
export function findConnectionProblems(value: unknown): ConfigProblem[] {
  const root = 'sqlServerConexiones';
  const wrong = connectionsChecker.Check(value)
    ? findUnreadableServers(value)
    : dedupe(connectionsChecker.Errors(value).flatMap((error) => describe(error, value, root)));
  // A wrong value might be a secret that was put in the wrong place.
  const problems = wrong.map((problem) => (problem.valor === '(falta)' ? problem : { ...problem, valor: '…' }));
  const names = typeof value === 'object' && value !== null ? Object.keys(value) : [];
  for (const name of names.filter((name) => !isConnectionName(name))) {
    problems.push({ campo: root, valor: show(name), regla: `no es un nombre de conexión: ${CONNECTION_RULE}` });
  }
  if (names.length > MAX_CONNECTIONS) {
    problems.push({ campo: root, valor: String(names.length), regla: `pasa del límite (${MAX_CONNECTIONS})` });
  }
  return problems.slice(0, 50);
}

/** Servers and users that are not written as `sql-server-name.ts` reads them. */
function findUnreadableServers(connections: Conexiones): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  for (const [name, { host, port, user }] of Object.entries(connections)) {
    const attempt = (field: string, valor: string, read: () => unknown) => {
      try {
        read();
      } catch (error) {
        if (!(error instanceof SqlServerNameError)) throw error;
        problems.push({ campo: `sqlServerConexiones.${name}.${field}`, valor, regla: error.message });
      }
    };
    attempt('host', host, () => parseServerName(host, port));
    attempt('user', user, () => parseLogin(user));
  }
  return problems;
}

/** What a name of a connection has to be, for an error of whoever asks for one. */
export const CONNECTION_RULE = 'letras sin acento, cifras, «-» y «_», hasta 64, con una letra o cifra delante';

export function isConnectionName(name: string): boolean {
  return new RegExp(CONEXION).test(name);
}

/** Tables that name a connection which is not among `names`. */
export function findUnknownConnections(config: ConfiguracionTablas, names: readonly string[]): ConfigProblem[] {
  const rule = names.length === 0 ? 'no hay ninguna en sqlServerConexiones' : `las que hay: ${names.join(', ')}`;
  return (['tablasSubida', 'tablasBajada'] as const).flatMap((list) =>
    (config[list] ?? []).flatMap(({ conexion }, index) =>
      conexion === undefined || names.includes(conexion)
        ? []
        : [
            {
              campo: `configuracionTablas.${list}[${index}].conexion`,
              valor: conexion,
              regla: `no es una conexión del tenant (${rule})`,
            },
          ],
    ),
  );
}

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

interface SchemaError {
  keyword: string;
  instancePath: string;
  params: Record<string, unknown>;
  message: string;
}

function describe(raw: unknown, root: unknown, name: string): ConfigProblem[] {
  const { keyword, instancePath, params } = raw as SchemaError;
  const at = (suffix = '') => `${name}${pathOf(instancePath)}${suffix}`;
  const shown = show(valueAt(root, instancePath));
  switch (keyword) {
    case 'required': {
      const missing = (params.requiredProperties ?? [params.missingProperty]) as string[];
      return missing.map((name) => ({ campo: at(`.${name}`), valor: '(falta)', regla: 'es obligatorio' }));
    }
    case 'additionalProperties': {
      const extra = (params.additionalProperties ?? []) as string[];
      return extra.map((name) => ({ campo: at(`.${name}`), valor: shown, regla: 'no es un campo conocido' }));
    }
    case 'type':
      return [{ campo: at(), valor: shown, regla: `debe ser ${spanishTypes(params.type)}` }];
    case 'const':
      return [{ campo: at(), valor: shown, regla: `debe ser «${String(params.allowedValue)}»` }];
    case 'anyOf':
      return [{ campo: at(), valor: shown, regla: 'no es uno de los valores admitidos' }];
    case 'minLength':
    case 'minItems':
      return [{ campo: at(), valor: shown, regla: 'no puede estar vacío' }];
    case 'maxLength':
    case 'maxItems':
    case 'maximum':
    case 'minimum':
      return [{ campo: at(), valor: shown, regla: `pasa del límite (${String(params.limit)})` }];
    case 'pattern':
      if (params.pattern === CONEXION)
        return [{ campo: at(), valor: shown, regla: `debe ser un nombre: ${CONNECTION_RULE}` }];
      if (params.pattern === HORA) return [{ campo: at(), valor: shown, regla: 'debe ser una hora, de 00:00 a 23:59' }];
      return [{ campo: at(), valor: shown, regla: 'no puede contener «/», «\\» ni caracteres de control' }];
    case 'boolean':
      // An unknown property, reported a second time by its `false` schema.
      return [];
    default:
      return [{ campo: at(), valor: shown, regla: `no cumple «${keyword}»` }];
  }
}

function findContradictions(config: ConfiguracionTablas): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  for (const [index, { desde, hasta }] of (config.horasSilencio ?? []).entries()) {
    const regla = 'desde y hasta son la misma hora: no queda claro si abarca todo el día';
    if (desde === hasta) problems.push({ campo: `configuracionTablas.horasSilencio[${index}]`, valor: desde, regla });
  }
  const lists = [
    ['tablasSubida', config.tablasSubida ?? []],
    ['tablasBajada', config.tablasBajada ?? []],
  ] as const;
  for (const [list, tablas] of lists) {
    const seen = new Set<string>();
    for (const [index, tabla] of tablas.entries()) {
      const at = `configuracionTablas.${list}[${index}]`;
      if (seen.has(tabla.nombre)) problems.push({ campo: `${at}.nombre`, valor: tabla.nombre, regla: 'está repetido' });
      seen.add(tabla.nombre);
      for (const [number, campo] of (tabla.camposSensibles ?? []).entries()) {
        if (!namesOfTheServer(tabla).includes(campo.toLowerCase())) continue;
        const regla = 'no puede ser sensible: el servidor la necesita legible (clave, nombre o activo)';
        problems.push({ campo: `${at}.camposSensibles[${number}]`, valor: campo, regla });
      }
      for (const fase of ['pre_process', 'post_process'] as const) {
        if (tabla[fase]?.enabled === true && !tabla[fase].sql) {
          problems.push({
            campo: `${at}.${fase}.sql`,
            valor: '(falta)',
            regla: 'es obligatorio cuando enabled es true',
          });
        }
      }
    }
  }
  for (const [index, tabla] of (config.tablasBajada ?? []).entries()) {
    const at = `configuracionTablas.tablasBajada[${index}].schema.columns`;
    const names = new Set<string>();
    for (const [number, columna] of (tabla.schema?.columns ?? []).entries()) {
      const folded = columna.name.toLowerCase();
      if (names.has(folded))
        problems.push({ campo: `${at}[${number}].name`, valor: columna.name, regla: 'está repetido' });
      names.add(folded);
      try {
        parseSqlType(columna.type);
      } catch (error) {
        problems.push({ campo: `${at}[${number}].type`, valor: columna.type, regla: (error as Error).message });
      }
    }
  }
  const subidas = config.tablasSubida ?? [];
  for (const [index, tabla] of subidas.entries()) {
    const at = `configuracionTablas.tablasSubida[${index}]`;
    if (tabla.incremental === true && !/@ultimaSync\b/i.test(tabla.process.query)) {
      const regla = 'una tabla incremental debe filtrar por @ultimaSync';
      problems.push({ campo: `${at}.process.query`, valor: show(tabla.process.query), regla });
    }
    if (tabla.desactivarAusentes !== true) continue;
    if (tabla.incremental === true) {
      const regla = 'solo vale para una tabla que se sube entera (incremental: false)';
      problems.push({ campo: `${at}.desactivarAusentes`, valor: 'true', regla });
    }
    const tipo = tabla.tipoCampo ?? deriveTipoCampo(tabla.nombre);
    const other = subidas.find((o) => o !== tabla && (o.tipoCampo ?? deriveTipoCampo(o.nombre)) === tipo);
    if (other !== undefined) {
      const regla = `desactivaría las filas de «${other.nombre}», que tiene el mismo tipoCampo «${tipo}»`;
      problems.push({ campo: `${at}.desactivarAusentes`, valor: 'true', regla });
    }
  }
  return problems;
}

/** Columns that the server itself works with, in small letters (SPEC.md, R2 and R3). */
function namesOfTheServer(tabla: { primaryKey?: string | string[] }): string[] {
  return [...primaryKeyOf(tabla), 'codigo', 'nombre', 'activo'].map((name) => name.toLowerCase());
}

function pathOf(pointer: string): string {
  const parts = pointer.split('/').slice(1).map(unescapePointer);
  return parts.map((part) => (/^\d+$/.test(part) ? `[${part}]` : `.${part}`)).join('');
}

function unescapePointer(part: string): string {
  return part.replace(/~1/g, '/').replace(/~0/g, '~');
}

function valueAt(root: unknown, pointer: string): unknown {
  let value = root;
  for (const part of pointer.split('/').slice(1).map(unescapePointer)) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<string, unknown>)[part];
  }
  return value;
}

function show(value: unknown): string {
  const text = (typeof value === 'string' ? value : JSON.stringify(value)) ?? '(falta)';
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

function spanishTypes(type: unknown): string {
  const names: Record<string, string> = {
    string: 'un texto',
    boolean: 'true o false',
    object: 'un objeto',
    array: 'una lista',
    integer: 'un número entero',
    number: 'un número',
  };
  return [type]
    .flat()
    .map((name) => names[String(name)] ?? String(name))
    .join(' o ');
}

function dedupe(problems: ConfigProblem[]): ConfigProblem[] {
  const seen = new Set<string>();
  return problems.filter(({ campo, regla }) => {
    const key = `${campo} ${regla}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}
