import { Compile } from 'typebox/compile';
import { parseSqlType } from '../rows/sql-types.ts';
import {
  CONEXION,
  type Conexiones,
  ConexionesSchema,
  type ConfiguracionTablas,
  ConfiguracionTablasSchema,
  DURACION,
  HORA,
  primaryKeyOf,
} from './config.ts';
import { parseLogin, parseServerName, SqlServerNameError } from './sql-server-name.ts';
import { deriveTipoCampo } from './tipo-campo.ts';

/** What is wrong with a configuration, told in Spanish to whoever has to correct it. */

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
      return [{ campo: at(), valor: shown, regla: `pasa del límite (${String(params.limit)})` }];
    case 'minimum':
      return [{ campo: at(), valor: shown, regla: `es menor que el mínimo (${String(params.limit)})` }];
    case 'pattern':
      if (params.pattern === CONEXION)
        return [{ campo: at(), valor: shown, regla: `debe ser un nombre: ${CONNECTION_RULE}` }];
      if (params.pattern === DURACION)
        return [{ campo: at(), valor: shown, regla: 'debe ser un tiempo en horas o días, de 1h a 999d' }];
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
  const sharing = new Map<string, typeof subidas>();
  const tipoOf = ({ tipoCampo, nombre }: (typeof subidas)[number]) => tipoCampo ?? deriveTipoCampo(nombre);
  for (const tabla of subidas) sharing.set(tipoOf(tabla), [...(sharing.get(tipoOf(tabla)) ?? []).slice(0, 1), tabla]);
  for (const [index, tabla] of subidas.entries()) {
    const at = `configuracionTablas.tablasSubida[${index}]`;
    if (tabla.incremental === true && !/@ultimaSync\b/i.test(tabla.process.query)) {
      const regla = 'una tabla incremental debe filtrar por @ultimaSync';
      problems.push({ campo: `${at}.process.query`, valor: show(tabla.process.query), regla });
    }
    if (tabla.incremental !== true && tabla.completoCada !== undefined) {
      const regla = 'solo vale para una tabla incremental: las demás se suben enteras cada vez';
      problems.push({ campo: `${at}.completoCada`, valor: tabla.completoCada, regla });
    }
    const tipo = tipoOf(tabla);
    const other = sharing.get(tipo)!.find((one) => one !== tabla);
    if (other !== undefined && tabla.tipoCampo === undefined) {
      const regla =
        `es el mismo que el de «${other.nombre}», y unas filas pisarían a otras: póngalo en las dos (con una primaryKey que las ` +
        'distinga), o dé a cada una el suyo';
      problems.push({ campo: `${at}.tipoCampo`, valor: tipo, regla });
    }
    if (tabla.desactivarAusentes !== true) continue;
    if (tabla.incremental === true && tabla.completoCada === undefined) {
      const regla = 'solo vale para una tabla que se sube entera: incremental: false, o con completoCada';
      problems.push({ campo: `${at}.desactivarAusentes`, valor: 'true', regla });
    }
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
