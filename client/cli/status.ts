import { runStatus } from '../commands/status.ts';
import { defineCommand, jsonOption } from './command.ts';

export const statusCommand = defineCommand({
  name: 'status',
  description: 'Muestra cómo está cada tabla, lo pendiente y lo que sabe el backend',
  arguments: {},
  options: { json: jsonOption },
  examples: [
    ['status', 'Tablas, pendientes y lo que sabe el backend'],
    ['status --json', 'Lo mismo, para otro programa'],
  ],
  exitCodes: ['exitoso', 'configuracion'],
  run: ({ json }, { folder, print, signal }) => runStatus({ folder, json, print, signal }),
});
