import { createDataKey, exportDataKey, importDataKey } from '../commands/data-key.ts';
import { type AgentCommandGroup, defineCommand } from './command.ts';

const archivo = { type: 'string', demandOption: true, requiresArg: true } as const;

const create = defineCommand({
  name: 'create',
  description: 'La crea, en el primer agente del tenant',
  arguments: {},
  options: {},
  examples: [['data-key create', 'Una vez por tenant']],
  exitCodes: ['exitoso', 'configuracion'],
  async run(_, { folder, print }) {
    await createDataKey({ folder, print });
  },
});

const exportKey = defineCommand({
  name: 'export',
  description: 'La escribe en un archivo sellado con SYNC_DATA_KEY_PASSWORD',
  arguments: {},
  options: { archivo: { ...archivo, describe: 'Archivo que se escribe' } },
  examples: [['data-key export --archivo clave-datos.json', 'Para llevarla a otro agente del tenant']],
  exitCodes: ['exitoso', 'configuracion'],
  async run({ archivo: file }, { folder, print }) {
    await exportDataKey({ folder, file, print });
  },
});

const importKey = defineCommand({
  name: 'import',
  description: 'La toma de un archivo de data-key export',
  arguments: {},
  options: { archivo: { ...archivo, describe: 'Archivo que se lee' } },
  examples: [['data-key import --archivo clave-datos.json', 'En el otro agente, con la misma contraseña']],
  exitCodes: ['exitoso', 'configuracion'],
  async run({ archivo: file }, { folder, print }) {
    await importDataKey({ folder, file, print });
  },
});

export const dataKeyCommands: AgentCommandGroup = {
  name: 'data-key',
  description: 'Clave de datos del tenant, para camposSensibles',
  commands: [create, exportKey, importKey],
  examples: [
    ['data-key create', 'En el primer agente'],
    ['data-key export --archivo clave-datos.json', 'Para el segundo'],
  ],
};
