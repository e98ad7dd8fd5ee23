import { runTest } from '../commands/test.ts';
import { defineCommand } from './command.ts';

export const testCommand = defineCommand({
  name: 'test',
  description: 'Comprueba el backend, SQL Server y cada tabla sin cambiar nada',
  arguments: {},
  options: {},
  examples: [['test', 'Una línea por comprobación: ✔ bien, ✖ falla']],
  exitCodes: ['exitoso', 'error', 'configuracion'],
  run: (_, { folder, print, signal }) => runTest({ folder, print, signal }),
});
