import { join } from 'node:path';
import { visibleJson } from '../../protocol/visible.ts';
import type { ExitReason } from '../errors/exit-codes.ts';
import { type LogLine, readBackwards } from '../files/tail.ts';
import { readHistory } from '../state/history.ts';
import { findLogFiles } from '../ui/log-rotation.ts';

export interface LogsOptions {
  folder: string;
  /** Only entries of these tables; all when empty. */
  tablas: readonly string[];
  /** This level and those above it. */
  nivel: 'info' | 'aviso' | 'error';
  /** At most so many entries, the newest. */
  lineas: number;
  json: boolean;
  print: (line: string) => void;
  signal: AbortSignal;
}

const LEVELS = { info: ['INFO', 'AVISO', 'ERROR'], aviso: ['AVISO', 'ERROR'], error: ['ERROR'] };

/**
 * Runs `logs`: shows the newest entries of the agent's own log, oldest of them first, through files that are closed
 * already.
 */
export async function runLogs(options: LogsOptions): Promise<ExitReason> {
  const { folder, tablas, nivel, lineas, json, print, signal } = options;
  const logs = join(folder, 'logs');
  const files = await findLogFiles(logs, nivel === 'error' ? 'sync-error' : 'sync-combined');
  const known = json ? (await readHistory(folder)).tablas.map(({ ultima }) => ultima.tabla) : [];
  const wanted = ({ nivel: of, texto }: LogLine) =>
    LEVELS[nivel].includes(of) && (tablas.length === 0 || tableOf(texto, tablas) !== undefined);
  const found: LogLine[] = [];
  for await (const entry of readBackwards(files)) {
    signal.throwIfAborted();
    if (wanted(entry)) found.push(entry);
    if (found.length === lineas) break;
  }
  for (const { hora, nivel, texto } of found.reverse()) {
    if (!json) print(`${hora} ${nivel.padEnd(5)} ${texto}`);
    else {
      const tabla = tableOf(texto, [...tablas, ...known]);
      const rest = tabla === undefined ? texto : texto.slice(tabla.length + 2);
      print(visibleJson({ hora, nivel, tabla: tabla ?? null, texto: rest }));
    }
  }
  if (found.length === 0 && !json) print(`No hay registros así en ${logs}.`);
  return 'exitoso';
}

function tableOf(texto: string, tablas: readonly string[]): string | undefined {
  return tablas.find((tabla) => texto.startsWith(`${tabla}: `));
}
