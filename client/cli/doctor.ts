import { runDoctor } from '../commands/doctor.ts';
import { defineCommand, jsonOption } from './command.ts';

export const doctorCommand = defineCommand({
  name: 'doctor',
  description: 'Comprueba todo lo que preguntaría soporte y escribe diagnostico.txt, sin secretos',
  arguments: {},
  options: { json: jsonOption },
  examples: [['doctor', 'Muestra las comprobaciones y escribe diagnostico.txt']],
  exitCodes: ['exitoso', 'error', 'configuracion'],
  run: ({ json }, { folder, print, signal }) => runDoctor({ folder, json, print, signal }),
});
