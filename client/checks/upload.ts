import { defined } from '../../protocol/defined.ts';
import { cambiosOf, primaryKeyOf, type TablaSubida } from '../../protocol/tenant-config/config.ts';
import { mentionsMark } from '../../protocol/tenant-config/ultima-sync.ts';
import { assertNoneOf, encryptLine, sensitiveColumnsOf } from '../rows/field-encryption.ts';
import { findIndex, type IndexFinding } from '../sqlserver/read/indexes.ts';
import { findRangeKey } from '../sqlserver/read/range-key.ts';
import { readClocks } from '../sqlserver/session/clock.ts';
import type { SqlParameter, SqlServer } from '../sqlserver/sql-server.ts';
import { boundMark } from '../state/watermarks.ts';
import { queryOf } from '../sync/upload/reading.ts';
import { assertVersionColumn, EVERY_VERSION, versionParameters } from '../sync/upload/rowversion.ts';
import { assertTracked } from './changes.ts';
import type { Finding } from './checklist.ts';
import { describeUndated } from './marks.ts';
import { describeKey } from './row-key.ts';

/** What an upload table needs of SQL Server; nothing is changed. */

/** Rows in a block of the check of a query: the first one is enough. */
const SMALL_BLOCK_BYTES = 4096;

/** Runs a table's query for its columns and first row, and checks its key and its sensitive columns. */
export async function checkUpload(
  db: SqlServer,
  tabla: TablaSubida,
  { dataKey, guarded }: { dataKey: string | undefined; guarded: ReadonlySet<string> },
  signal: AbortSignal,
): Promise<Finding<void>> {
  const sensitive = sensitiveColumnsOf(tabla, dataKey);
  const query = queryOf(tabla, true);
  const parameters = await parametersOf(db, tabla, signal);
  if (cambiosOf(tabla) === 'rowversion') await assertVersionColumn(db, tabla, signal);
  if (cambiosOf(tabla) === 'seguimiento') await assertTracked(db, tabla, signal);
  const { particion } = tabla;
  if (particion !== undefined) await findRangeKey(db, query, parameters, particion.columna, signal);
  let columns: string[] = [];
  for await (const block of db.readRows(query, { parameters, signal, blockBytes: SMALL_BLOCK_BYTES })) {
    const text = Buffer.from(block.bytes).toString('utf8');
    const line = text.slice(0, text.indexOf('\n'));
    assertNoneOf(guarded, line, tabla.nombre);
    if (sensitive !== undefined) encryptLine(line, tabla, sensitive);
    columns = Object.keys(JSON.parse(line) as object);
    break;
  }
  const note = columns.length === 0 ? 'la consulta funciona y no da filas' : `la consulta da ${columns.join(', ')}`;
  const key = await describeKey(db, tabla, columns, { parameters, signal });
  const ranges = particion === undefined ? '' : `; se lee por rangos de ${particion.columna}`;
  const encrypted = sensitive === undefined ? '' : `; salen cifradas ${sensitive.names.join(', ')}`;
  const advice = await describeUndated(db, tabla, parameters, signal);
  return { value: undefined, note: `${note}${key}${ranges}${encrypted}`, ...defined({ advice }) };
}

/** Returns what a reading from the beginning binds. */
export async function parametersOf(db: SqlServer, tabla: TablaSubida, signal: AbortSignal): Promise<SqlParameter[]> {
  const { query } = tabla.process;
  if (!mentionsMark(query)) return versionParameters(query, EVERY_VERSION, true);
  const value = boundMark(tabla, undefined, await readClocks(db, signal));
  return [{ name: 'ultimaSync', type: 'datetime2', value }];
}

/**
 * Looks for the index behind `campoFecha`, without which each incremental reading goes through the table, and behind
 * the key.
 */
export async function checkIndexes(db: SqlServer, tabla: TablaSubida, signal: AbortSignal): Promise<Finding<void>> {
  const parameters = await parametersOf(db, tabla, signal);
  const [key] = primaryKeyOf(tabla);
  const wanted = [
    ...(cambiosOf(tabla) === 'marca' && tabla.campoFecha !== undefined
      ? [['campoFecha', tabla.campoFecha] as const]
      : []),
    ['clave', key ?? 'codigo'] as const,
  ];
  const notes: string[] = [];
  const advice: string[] = [];
  for (const [role, columna] of wanted) {
    const found = await findIndex(db, tabla.process.query, parameters, columna, signal);
    notes.push(`${role} «${columna}» ${describeIndex(found)}`);
    if (found.estado === 'sin-indice' && role === 'campoFecha') {
      advice.push(`Cada lectura recorre la tabla entera: ${found.create}`);
    }
  }
  const note = notes.join('; ');
  return { value: undefined, note, ...(advice.length === 0 ? {} : { advice: advice.join(' ') }) };
}

function describeIndex(found: IndexFinding): string {
  switch (found.estado) {
    case 'con-indice':
      return `tiene el índice ${found.nombre}`;
    case 'sin-indice':
      return `no tiene índice en ${found.tabla}`;
    case 'calculada':
      return 'es calculada: no puede usar un índice';
    case 'ausente':
      return 'no está entre las columnas de la consulta: no se comprueba';
    case 'no-se-ve':
      return `es de ${found.tabla}, que el usuario de SQL Server no ve`;
    case 'no-se-sabe':
      return `no se puede comprobar (${found.motivo})`;
  }
}
