import { runApprove } from '../commands/approve.ts';
import { defineCommand } from './command.ts';

export const approveCommand = defineCommand({
  name: 'approve',
  description: 'Muestra el SQL del backend que falta aprobar en este equipo, y lo aprueba',
  arguments: {},
  options: {
    huella: { type: 'string', requiresArg: true, describe: 'Aprueba el SQL de esta huella' },
    'origen-nuevo': {
      type: 'boolean',
      default: false,
      describe: 'Con --huella: los valores sensibles que bajan pueden ser desde ahora de otras tablas',
    },
  },
  examples: [
    ['approve', 'Muestra el SQL que falta aprobar, y su huella'],
    ['approve --huella 4b2c9d…', 'Aprueba lo que se mostró, y nada posterior'],
  ],
  exitCodes: ['exitoso', 'configuracion', 'backend', 'credenciales'],
  async run({ huella, 'origen-nuevo': forgetsOrigins }, { folder, print, signal }) {
    await runApprove({ folder, huella, forgetsOrigins, print, signal });
  },
});
