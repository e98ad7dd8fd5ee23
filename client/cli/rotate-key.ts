import { runRotateKey } from '../commands/rotate-key.ts';
import { defineCommand } from './command.ts';

export const rotateKeyCommand = defineCommand({
  name: 'rotate-key',
  description: 'Cambia la clave de API por otra nueva (sync lo hace solo antes de que caduque)',
  arguments: {},
  options: {},
  examples: [['rotate-key', 'La anterior vale todavía un plazo, por si algo se corta']],
  exitCodes: ['exitoso', 'configuracion', 'backend', 'credenciales', 'ocupado'],
  async run(_, { folder, print, signal }) {
    await runRotateKey({ folder, print, signal });
  },
});
