import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import type { Direccion } from '../../protocol/tenant-config/config.ts';
import { visibleJson } from '../../protocol/visible.ts';
import { makePrivateFolder, writeFileAtomically } from '../files/files.ts';
import { assertFormat, type FileStamp, isNewerFile, stampOf } from '../files/format.ts';

/**
 * `logs/ejecuciones.json`: how the last runs ended, and each table's last run and last good one. For people (`status`)
 * and for estimates; nothing that is synchronised depends on it, so a file that cannot be read counts as none.
 */
const TableRunSchema = Type.Object({
  direccion: Type.Union([Type.Literal('upload'), Type.Literal('download')]),
  tabla: Type.String(),
  estado: Type.Union([Type.Literal('exitoso'), Type.Literal('error')]),
  /** ISO, the agent's clock. */
  inicio: Type.String(),
  fin: Type.String(),
  /** Rows that went over the line; 0 after a failure. */
  filas: Type.Integer({ minimum: 0 }),
  /** Of them, those that this run read, where an upload of an earlier one was finished before it. */
  leidas: Type.Optional(Type.Integer({ minimum: 0 })),
  /** Of a failure: what happened and what to do. */
  mensaje: Type.Union([Type.String(), Type.Null()]),
  /** Of a failure: its code, of the agent's catalogue or of the API's table. */
  codigo: Type.Optional(Type.String()),
  /** Rows that wait for an administrator (protocol/tenant-config/guard.ts). */
  bajasRetenidas: Type.Optional(Type.Integer({ minimum: 0 })),
  /** Changes of columns that wait for an administrator (protocol/rows/drift.ts). */
  columnasPendientes: Type.Optional(Type.Integer({ minimum: 0 })),
});

const RunSchema = Type.Object({
  inicio: Type.String(),
  fin: Type.String(),
  /** A name of exit-codes.ts. */
  resultado: Type.String(),
  /** Of the error that ended it before any table. */
  codigo: Type.Optional(Type.String()),
  bien: Type.Integer(),
  conError: Type.Integer(),
  sinEmpezar: Type.Integer(),
});

const HistorySchema = Type.Object({
  /** Newest first, at most MAX_RUNS. */
  ejecuciones: Type.Array(RunSchema),
  /** One for each table and direction that has run. */
  tablas: Type.Array(Type.Object({ ultima: TableRunSchema, exitosa: Type.Union([TableRunSchema, Type.Null()]) })),
});

export type TableRun = Type.Static<typeof TableRunSchema>;
/** A run, with what became of its tables. */
export type RunRecord = Type.Static<typeof RunSchema> & { tablas: readonly TableRun[] };
export type History = Type.Static<typeof HistorySchema>;

const checker = Compile(HistorySchema);
const FORMAT = 1;
const MAX_RUNS = 20;
/** More than a configuration may hold; tables that it no longer has are forgotten, the oldest first. */
const MAX_TABLES = 2000;

const pathOf = (folder: string) => join(folder, 'logs', 'ejecuciones.json');

/** @throws {AgentError} ARCHIVO_MAS_NUEVO, and nothing else */
export async function readHistory(folder: string): Promise<History> {
  try {
    const value: unknown = JSON.parse(await readFile(pathOf(folder), 'utf8'));
    assertFormat(pathOf(folder), value, FORMAT);
    if (checker.Check(value)) return value;
  } catch (error) {
    if (isNewerFile(error)) throw error;
    // None yet, or damaged: it is begun afresh.
  }
  return { ejecuciones: [], tablas: [] };
}

/** Writes `history` with one run more. Throws what the disk says. */
export async function writeHistory(
  folder: string,
  { ejecuciones, tablas }: History,
  { tablas: tableRuns, ...run }: RunRecord,
): Promise<void> {
  const byTable = new Map(tablas.map((table) => [keyOf(table.ultima), table]));
  for (const ultima of tableRuns) {
    const key = keyOf(ultima);
    const exitosa = ultima.estado === 'exitoso' ? ultima : (byTable.get(key)?.exitosa ?? null);
    // Moved to the end: the oldest are first.
    byTable.delete(key);
    byTable.set(key, { ultima, exitosa });
  }
  const next: History & FileStamp = {
    ...stampOf(FORMAT),
    ejecuciones: [run, ...ejecuciones].slice(0, MAX_RUNS),
    tablas: [...byTable.values()].slice(-MAX_TABLES),
  };
  await makePrivateFolder(join(folder, 'logs'));
  await writeFileAtomically(pathOf(folder), `${visibleJson(next)}\n`);
}

/** Rows that the table's last good run read. */
export function lastRows({ tablas }: History, direccion: Direccion, tabla: string): number | undefined {
  const last = tablas.find(({ ultima }) => ultima.direccion === direccion && ultima.tabla === tabla)?.exitosa;
  return last?.leidas ?? last?.filas;
}

/** Returns whether the table's last run left bajas retenidas. */
export function lastRetained({ tablas }: History, direccion: Direccion, tabla: string): boolean {
  const last = tablas.find(({ ultima }) => ultima.direccion === direccion && ultima.tabla === tabla);
  return (last?.ultima.bajasRetenidas ?? 0) > 0;
}

function keyOf({ direccion, tabla }: TableRun): string {
  return `${direccion} ${tabla}`;
}
