import { parseSqlType } from '../rows/sql-types.ts';
import { bajasOf, cambiosOf } from './changes.ts';
import type { TablaBajada } from './download-table.ts';
import { isPhaseAt } from './phases.ts';
import { type ConfigProblem, show } from './schema-problems.ts';
import type { ConfiguracionTablas } from './settings.ts';
import { deriveTipoCampo } from './tipo-campo.ts';
import { findTrackingProblems } from './tracking-problems.ts';
import type { TablaSubida } from './upload-table.ts';
import { primaryKeyOf } from './values.ts';

/** Finds what no schema can say: fields of a `configuracionTablas` that contradict each other. */
export function findContradictions(config: ConfiguracionTablas): ConfigProblem[] {
  const { tablasSubida = [], tablasBajada = [], horasSilencio = [] } = config;
  const at = (list: string, index: number) => `configuracionTablas.${list}[${index}]`;
  return [
    ...horasSilencio.flatMap((hours, index) => findEmptyHours(hours, at('horasSilencio', index))),
    ...findRepeatedNames(tablasSubida, (index) => at('tablasSubida', index)),
    ...findRepeatedNames(tablasBajada, (index) => at('tablasBajada', index)),
    ...tablasSubida.flatMap((tabla, index) => findTableContradictions(tabla, at('tablasSubida', index))),
    ...tablasBajada.flatMap((tabla, index) => findTableContradictions(tabla, at('tablasBajada', index))),
    ...tablasBajada.flatMap((tabla, index) => findColumnProblems(tabla, `${at('tablasBajada', index)}.schema.columns`)),
    ...tablasBajada.flatMap((tabla, index) => findChangesProblems(tabla, at('tablasBajada', index))),
    ...tablasSubida.flatMap((tabla, index) => findReadingProblems(tabla, at('tablasSubida', index))),
    ...tablasSubida.flatMap((tabla, index) => findTrackingProblems(tabla, at('tablasSubida', index))),
    ...findSharedTipos(tablasSubida, (index) => at('tablasSubida', index)),
  ];
}

function findEmptyHours({ desde, hasta }: { desde: string; hasta: string }, campo: string): ConfigProblem[] {
  const regla = 'desde y hasta son la misma hora: no queda claro si abarca todo el día';
  return desde === hasta ? [{ campo, valor: desde, regla }] : [];
}

function findRepeatedNames(tablas: readonly { nombre: string }[], at: (index: number) => string): ConfigProblem[] {
  const seen = new Set<string>();
  return tablas.flatMap(({ nombre }, index) => {
    const isRepeated = seen.has(nombre);
    seen.add(nombre);
    return isRepeated ? [{ campo: `${at(index)}.nombre`, valor: nombre, regla: 'está repetido' }] : [];
  });
}

/** Of a table of either direction. */
function findTableContradictions(tabla: TablaSubida | TablaBajada, at: string): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  for (const [number, campo] of (tabla.camposSensibles ?? []).entries()) {
    if (!namesOfTheServer(tabla).includes(campo.toLowerCase())) continue;
    const regla = 'no puede ser sensible: el servidor la necesita legible (clave, nombre o activo)';
    problems.push({ campo: `${at}.camposSensibles[${number}]`, valor: campo, regla });
  }
  for (const fase of ['pre_process', 'post_process'] as const) {
    if (tabla[fase]?.enabled !== true || tabla[fase].sql) continue;
    const regla = 'es obligatorio cuando enabled es true';
    problems.push({ campo: `${at}.${fase}.sql`, valor: '(falta)', regla });
  }
  return problems;
}

/** Columns that the server itself works with, in small letters (SPEC.md, R2 and R3). */
function namesOfTheServer(tabla: { primaryKey?: string | string[] }): string[] {
  return [...primaryKeyOf(tabla), 'codigo', 'nombre', 'activo'].map((name) => name.toLowerCase());
}

/** Names that SQL Server takes for one, and types that it does not have. */
function findColumnProblems({ schema }: TablaBajada, at: string): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const names = new Set<string>();
  for (const [number, { name, type }] of (schema?.columns ?? []).entries()) {
    const folded = name.toLowerCase();
    if (names.has(folded)) problems.push({ campo: `${at}[${number}].name`, valor: name, regla: 'está repetido' });
    names.add(folded);
    try {
      parseSqlType(type);
    } catch (error) {
      problems.push({ campo: `${at}[${number}].type`, valor: type, regla: (error as Error).message });
    }
  }
  return problems;
}

/** What `cambios: "huellas"` asks of a download table. */
function findChangesProblems(tabla: TablaBajada, at: string): ConfigProblem[] {
  const { bajas, cambios, post_process: fase } = tabla;
  const problems: ConfigProblem[] = [];
  const add = (campo: string, valor: string, regla: string) => problems.push({ campo: `${at}.${campo}`, valor, regla });
  const sql = isPhaseAt(fase, 'download', 'destino') ? fase.sql : undefined;
  const namesBajas = sql !== undefined && /\{temp_bajas\}/.test(sql);
  if (cambios !== 'huellas') {
    if (bajas !== undefined) add('bajas', bajas, 'solo vale con cambios: huellas');
    if (namesBajas) add('post_process.sql', show(sql), '{temp_bajas} solo existe con cambios: huellas');
    return problems;
  }
  if (primaryKeyOf(tabla).length === 0) add('cambios', cambios, 'huellas necesita primaryKey');
  if (sql === undefined) return problems;
  if (/\bNOT\s+MATCHED\s+BY\s+SOURCE\b/i.test(sql)) {
    const regla = 'con cambios: huellas, {temp_table} solo trae lo que cambió: NOT MATCHED BY SOURCE quitaría lo demás';
    add('post_process.sql', show(sql), `${regla}; use {temp_bajas}`);
  } else if (!namesBajas && bajas !== 'ignorar') {
    const regla = 'con cambios: huellas debe tratar {temp_bajas}, las claves que ya no están; si no le importan, ponga';
    add('post_process.sql', show(sql), `${regla} bajas: ignorar`);
  }
  return problems;
}

/** What is asked of the reading of one upload table. */
function findReadingProblems(tabla: TablaSubida, at: string): ConfigProblem[] {
  const { bajas, cambios, clavesRepetidas, completoCada, desactivarAusentes, incremental, process } = tabla;
  const kind = cambiosOf(tabla);
  const problems: ConfigProblem[] = [];
  const add = (campo: string, valor: string, regla: string) => problems.push({ campo: `${at}.${campo}`, valor, regla });
  if (cambios !== undefined && incremental !== undefined && incremental !== (cambios === 'marca')) {
    add('cambios', cambios, `contradice incremental: ${incremental}; deje solo cambios`);
  }
  if (kind === 'marca' && !/@ultimaSync\b/i.test(process.query)) {
    add('process.query', show(process.query), 'una tabla incremental debe filtrar por @ultimaSync');
  }
  if (kind === 'completo' && completoCada !== undefined) {
    add('completoCada', completoCada, 'no vale para una tabla que se sube entera cada vez');
  }
  if (bajas !== undefined && desactivarAusentes !== undefined && desactivarAusentes !== (bajas === 'desactivar')) {
    add('bajas', bajas, `contradice desactivarAusentes: ${desactivarAusentes}; deje solo bajas`);
  } else if (
    bajasOf(tabla) !== 'ignorar' &&
    (kind === 'marca' || kind === 'rowversion') &&
    completoCada === undefined
  ) {
    const [campo, valor] = bajas === undefined ? ['desactivarAusentes', 'true'] : ['bajas', bajas];
    add(campo, valor, `con cambios: ${kind} las bajas solo se conocen al leer la tabla entera: añada completoCada`);
  }
  if (kind === 'huellas' && clavesRepetidas === 'ultima') {
    add('clavesRepetidas', clavesRepetidas, 'no vale con cambios: huellas, que necesita una sola fila por clave');
  }
  return problems;
}

/** Upload tables of one `tipo_campo`, unless each says it outright and none deactivates what it does not have. */
function findSharedTipos(subidas: readonly TablaSubida[], at: (index: number) => string): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const tipoOf = ({ tipoCampo, nombre }: TablaSubida) => tipoCampo ?? deriveTipoCampo(nombre);
  // Two of each are enough to name another one.
  const sharing = new Map<string, TablaSubida[]>();
  for (const tabla of subidas) sharing.set(tipoOf(tabla), [...(sharing.get(tipoOf(tabla)) ?? []).slice(0, 1), tabla]);
  for (const [index, tabla] of subidas.entries()) {
    const tipo = tipoOf(tabla);
    const other = sharing.get(tipo)!.find((one) => one !== tabla);
    if (other === undefined) continue;
    if (tabla.tipoCampo === undefined) {
      const regla =
        `es el mismo que el de «${other.nombre}», y unas filas pisarían a otras: póngalo en las dos (con una primaryKey que las ` +
        'distinga), o dé a cada una el suyo';
      problems.push({ campo: `${at(index)}.tipoCampo`, valor: tipo, regla });
    }
    if (bajasOf(tabla) !== 'ignorar') {
      const [campo, valor] =
        tabla.bajas === undefined && tabla.desactivarAusentes === true
          ? ['desactivarAusentes', 'true']
          : ['bajas', bajasOf(tabla)];
      const regla =
        `daría de baja las filas de «${other.nombre}», que tiene el mismo tipoCampo «${tipo}»` +
        (campo === 'bajas' ? ': ponga bajas: ignorar' : '');
      problems.push({ campo: `${at(index)}.${campo}`, valor, regla });
    }
  }
  return problems;
}
