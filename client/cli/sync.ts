import type Type from 'typebox';
import { type EndEvent, OUTPUT_FORMAT } from '../../protocol/cli-output.ts';
import { runSync, type SyncOptions } from '../commands/sync.ts';
import { agentError } from '../errors/agent-error.ts';
import { allExitReasons } from '../errors/exit-codes.ts';
import { openOutput } from '../ui/output.ts';
import { defineCommand, jsonOption, tablaOption } from './command.ts';

export const syncCommand = defineCommand({
  name: 'sync',
  description: 'Sincroniza las tablas configuradas',
  arguments: {},
  options: {
    'upload-only': { type: 'boolean', describe: 'Solo subir (cliente → backend)' },
    'download-only': { type: 'boolean', describe: 'Solo bajar (backend → cliente)' },
    tabla: tablaOption('Solo esta tabla (se puede repetir)'),
    'sin-spool': {
      type: 'boolean',
      default: false,
      describe: 'No guarda en spool/ lo que se sube: un envío que se corte se lee y se aplica de nuevo',
    },
    'aprobar-sql': {
      type: 'boolean',
      default: false,
      describe: 'Ejecuta solo el SQL aprobado en este equipo con approve',
    },
    'limite-kbps': {
      type: 'number',
      requiresArg: true,
      describe: 'Velocidad máxima, en kilobits por segundo, en vez de limiteKbps (0: sin límite)',
    },
    'desde-cero': {
      type: 'boolean',
      describe: 'Sube esas tablas desde el principio: olvida sus marcas y lo que espere en spool/',
    },
    ahora: { type: 'boolean', default: false, describe: 'También en horas de silencio' },
    json: jsonOption,
  },
  conflicts: { 'upload-only': ['download-only'], 'desde-cero': ['download-only'] },
  examples: [
    ['sync', 'Todas las tablas, en los dos sentidos'],
    ['sync --tabla vista_proveedores', 'Una sola tabla'],
    ['sync --download-only --tabla plan_cuentas', 'Solo bajar, y solo esa'],
    ['sync --ahora --limite-kbps 2000', 'En horas de silencio, sin llenar la línea'],
    ['sync --desde-cero --tabla vista_proveedores', 'Sube otra vez todas las filas de esa tabla'],
    ['sync --json', 'Para otro programa'],
  ],
  exitCodes: allExitReasons,
  run: (args, { folder, streams, printJson, signal }) =>
    runSync({
      folder,
      upload: args['download-only'] !== true,
      download: args['upload-only'] !== true,
      tablas: args.tabla,
      usesSpool: !args['sin-spool'],
      requiresApproval: args['aprobar-sql'],
      ...(args['limite-kbps'] === undefined ? {} : { limiteKbps: parseLimite(args['limite-kbps']) }),
      desdeCero: args['desde-cero'] === true,
      ahora: args.ahora,
      ...openOutput(args, streams),
      onEnd: (record) => args.json && printJson(endOf(record)),
      signal,
    }),
});

type RunRecord = Parameters<NonNullable<SyncOptions['onEnd']>>[0];

function endOf({ tablas, ...record }: RunRecord): Type.Static<typeof EndEvent> {
  return { evento: 'fin', formato: OUTPUT_FORMAT, ...record, tablas: [...tablas] };
}

/** @throws {AgentError} OPCION_INVALIDA */
function parseLimite(kbps: number): number {
  if (kbps === 0 || (Number.isInteger(kbps) && kbps >= 64)) return kbps;
  throw agentError('OPCION_INVALIDA', {
    opcion: '--limite-kbps',
    regla: '0 (sin límite), o un número entero desde 64',
  });
}
