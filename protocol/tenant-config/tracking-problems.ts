import { cambiosOf } from './changes.ts';
import { type ConfigProblem, show } from './schema-problems.ts';
import type { TablaSubida } from './upload-table.ts';
import { boundsIn } from './version-bounds.ts';

/** Returns what contradicts itself in a table that SQL Server says the changes of: `rowversion` and `seguimiento`. */
export function findTrackingProblems(tabla: TablaSubida, at: string): ConfigProblem[] {
  const { columna, process, seguimiento } = tabla;
  const kind = cambiosOf(tabla);
  const problems: ConfigProblem[] = [];
  const add = (campo: string, valor: string, regla: string) => problems.push({ campo: `${at}.${campo}`, valor, regla });
  if (kind === 'rowversion' && columna === undefined) {
    add('columna', '(falta)', 'con cambios: rowversion es obligatoria: la columna rowversion de la consulta');
  }
  if (kind !== 'rowversion' && columna !== undefined) add('columna', columna, 'solo vale con cambios: rowversion');
  if (kind === 'seguimiento' && seguimiento === undefined) {
    add('seguimiento', '(falta)', 'con cambios: seguimiento es obligatorio: las tablas base de la consulta');
  }
  if (kind !== 'seguimiento' && seguimiento !== undefined) {
    add('seguimiento', show(seguimiento), 'solo vale con cambios: seguimiento');
  }
  if ((kind === 'rowversion' || kind === 'seguimiento') && /@ultimaSync\b/i.test(process.query)) {
    add('process.query', show(process.query), `con cambios: ${kind} no hay @ultimaSync: quite ese filtro`);
  }
  const { desde, hasta } = boundsIn(process.query);
  if (kind !== 'rowversion' && (desde || hasta)) {
    add('process.query', show(process.query), '@desdeVersion y @hastaVersion solo valen con cambios: rowversion');
  } else if (desde !== hasta) {
    const regla = 'debe usar los dos, @desdeVersion y @hastaVersion, o ninguno (el agente filtra entonces por columna)';
    add('process.query', show(process.query), regla);
  }
  return [...problems, ...findBaseTableProblems(seguimiento ?? [], `${at}.seguimiento`)];
}

function findBaseTableProblems(tablas: NonNullable<TablaSubida['seguimiento']>, at: string): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const seen = new Set<string>();
  for (const [index, { tabla, quitaFilas }] of tablas.entries()) {
    const folded = tabla.toLowerCase();
    if (seen.has(folded)) problems.push({ campo: `${at}[${index}].tabla`, valor: tabla, regla: 'está repetida' });
    seen.add(folded);
    if (index > 0 || quitaFilas !== false) continue;
    const regla = 'no vale para la primera tabla: sus bajas son las de la consulta';
    problems.push({ campo: `${at}[0].quitaFilas`, valor: 'false', regla });
  }
  return problems;
}
