import { runLogs } from '../commands/logs.ts';
import { agentError } from '../errors/agent-error.ts';
import { defineCommand, jsonOption, tablaOption } from './command.ts';

export const logsCommand = defineCommand({
  name: 'logs',
  description: 'Muestra las últimas líneas del registro',
  arguments: {},
  options: {
    tabla: tablaOption('Solo de esta tabla (se puede repetir)'),
    nivel: {
      choices: ['info', 'aviso', 'error'],
      default: 'info',
      requiresArg: true,
      describe: 'Desde este nivel',
    },
    lineas: {
      type: 'number',
      default: 50,
      requiresArg: true,
      describe: 'Cuántas, las más recientes (hasta 100000)',
    },
    json: jsonOption,
  },
  examples: [
    ['logs --nivel error', 'Los últimos errores'],
    ['logs --tabla vista_productos --lineas 200', 'Las últimas 200 líneas de una tabla'],
  ],
  exitCodes: ['exitoso', 'configuracion'],
  run: async ({ tabla: tablas, nivel, lineas, json }, { folder, print, signal }) =>
    runLogs({ folder, tablas, nivel, lineas: parseLineas(lineas), json, print, signal }),
});

/** @throws {AgentError} OPCION_INVALIDA */
function parseLineas(lineas: number): number {
  if (Number.isInteger(lineas) && lineas > 0 && lineas <= 100_000) return lineas;
  throw agentError('OPCION_INVALIDA', { opcion: '--lineas', regla: 'un número entero entre 1 y 100000' });
}
