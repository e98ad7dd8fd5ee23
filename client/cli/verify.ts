import type Type from 'typebox';
import { OUTPUT_FORMAT, type VerifyEndEvent } from '../../protocol/cli-output.ts';
import { describeVerification, runVerify } from '../commands/verify.ts';
import { agentError } from '../errors/agent-error.ts';
import { allExitReasons } from '../errors/exit-codes.ts';
import { openOutput } from '../ui/output.ts';
import { defineCommand, jsonOption, tablaOption } from './command.ts';

export const verifyCommand = defineCommand({
  name: 'verify',
  description: 'Comprueba que cada tabla es igual en SQL Server y en el backend',
  arguments: {},
  options: {
    tabla: tablaOption('Solo esta tabla (se puede repetir)'),
    reparar: {
      type: 'boolean',
      default: false,
      describe: 'Sube o baja otra vez lo que no es igual; la próxima sync pasa esas tablas enteras',
    },
    'max-segundos': {
      type: 'number',
      requiresArg: true,
      describe: 'Termina después de tantos segundos; la próxima vez sigue donde quedó',
    },
    json: jsonOption,
  },
  examples: [
    ['verify', 'Todas las tablas'],
    ['verify --tabla vista_proveedores', 'Una sola'],
    ['verify --tabla vista_proveedores --reparar', 'Y lo que no es igual se pasa otra vez'],
    ['verify --max-segundos 600', 'Diez minutos como mucho'],
    ['verify --json', 'Para otro programa'],
  ],
  exitCodes: allExitReasons,
  run: async (args, { folder, streams, print, printJson, signal }) => {
    const maxSegundos = args['max-segundos'];
    if (maxSegundos !== undefined && !(maxSegundos > 0)) {
      throw agentError('OPCION_INVALIDA', { opcion: '--max-segundos', regla: 'un número mayor que 0' });
    }
    return runVerify({
      ...{ folder, tablas: args.tabla, reparar: args.reparar, signal },
      ...(maxSegundos === undefined ? {} : { maxSegundos }),
      ...openOutput(args, streams),
      onEnd: (result) => {
        if (!args.json) describeVerification(result).forEach(print);
        else {
          const { reason: resultado, ...rest } = result;
          const end: Type.Static<typeof VerifyEndEvent> = { evento: 'fin', formato: OUTPUT_FORMAT, resultado, ...rest };
          printJson(end);
        }
      },
    });
  },
});
