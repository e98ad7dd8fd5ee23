import { runSync } from '../commands/sync.ts';
import { runTest } from '../commands/test.ts';
import { findInstallFolder } from '../config/environment.ts';
import { agentError } from '../errors/agent-error.ts';
import { type ExitReason, exitCodes } from '../errors/exit-codes.ts';
import { openOutput } from '../ui/output.ts';
import { type Cli, describeExitCodes, jsonOption, type Session, tablaOption } from './shared.ts';

/** `test` and `sync`. */
export function addSync(cli: Cli, { finish, print, printJson, signal }: Session): Cli {
  return cli
    .command(
      'test',
      'Comprueba el backend, SQL Server y cada tabla sin cambiar nada',
      (command) =>
        command
          .example('$0 test', 'Una línea por comprobación: ✔ bien, ✖ falla')
          .epilogue(describeExitCodes(['exitoso', 'error', 'configuracion'])),
      (args) => finish(() => runTest({ folder: findInstallFolder(args.carpeta), print, signal })),
    )
    .command(
      'sync',
      'Sincroniza las tablas configuradas',
      (command) =>
        command
          .option('upload-only', { type: 'boolean', describe: 'Solo subir (cliente → backend)' })
          .option('download-only', { type: 'boolean', describe: 'Solo bajar (backend → cliente)' })
          .option('tabla', tablaOption('Solo esta tabla (se puede repetir)'))
          .option('sin-spool', {
            type: 'boolean',
            default: false,
            describe: 'No guarda en spool/ lo que se sube: un envío que se corte se lee y se aplica de nuevo',
          })
          .option('aprobar-sql', {
            type: 'boolean',
            default: false,
            describe: 'Ejecuta solo el SQL aprobado en este equipo con approve',
          })
          .option('limite-kbps', {
            type: 'number',
            requiresArg: true,
            describe: 'Velocidad máxima, en kilobits por segundo, en vez de limiteKbps (0: sin límite)',
          })
          .option('desde-cero', {
            type: 'boolean',
            describe: 'Sube esas tablas desde el principio: olvida sus marcas y lo que espere en spool/',
          })
          .option('ahora', { type: 'boolean', default: false, describe: 'También en horas de silencio' })
          .option('json', jsonOption)
          .conflicts('upload-only', 'download-only')
          .conflicts('desde-cero', 'download-only')
          .example([
            ['$0 sync', 'Todas las tablas, en los dos sentidos'],
            ['$0 sync --tabla vista_proveedores', 'Una sola tabla'],
            ['$0 sync --download-only --tabla plan_cuentas', 'Solo bajar, y solo esa'],
            ['$0 sync --ahora --limite-kbps 2000', 'En horas de silencio, sin llenar la línea'],
            ['$0 sync --desde-cero --tabla vista_proveedores', 'Sube otra vez todas las filas de esa tabla'],
            ['$0 sync --json', 'Para otro programa'],
          ])
          .epilogue(describeExitCodes(Object.keys(exitCodes) as ExitReason[])),
      (args) =>
        finish(
          () =>
            runSync({
              folder: findInstallFolder(args.carpeta),
              upload: args['download-only'] !== true,
              download: args['upload-only'] !== true,
              tablas: args.tabla,
              usesSpool: !args['sin-spool'],
              requiresApproval: args['aprobar-sql'],
              ...(args['limite-kbps'] === undefined ? {} : { limiteKbps: parseLimite(args['limite-kbps']) }),
              desdeCero: args['desde-cero'] === true,
              ahora: args.ahora,
              ...openOutput(args),
              onEnd: (record) => args.json && printJson({ evento: 'fin', ...record }),
              signal,
            }),
          args,
        ),
    );
}

/** Throws AgentError OPCION_INVALIDA. */
function parseLimite(kbps: number): number {
  if (kbps === 0 || (Number.isInteger(kbps) && kbps >= 64)) return kbps;
  throw agentError('OPCION_INVALIDA', {
    opcion: '--limite-kbps',
    regla: '0 (sin límite), o un número entero desde 64',
  });
}
