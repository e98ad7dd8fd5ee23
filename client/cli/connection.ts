import { listConnections, removeConnection, setConnection } from '../commands/connection.ts';
import { type AgentCommandGroup, defineCommand } from './command.ts';
import { readSqlServer, sqlServerConflicts, sqlServerOptions } from './sql-server.ts';

const nombre = { type: 'string', demandOption: true, describe: 'Su nombre en sqlServerConexiones' } as const;

const set = defineCommand({
  name: 'set',
  description: 'Vale en vez de lo que diga el backend, no sale de este equipo y sustituye entero lo anterior',
  arguments: { nombre },
  options: sqlServerOptions,
  conflicts: sqlServerConflicts,
  examples: [
    ['connection set almacen --sql-confiar-certificado', 'Su certificado es el que él mismo se hizo'],
    ['connection set almacen --sql-user lector --sql-password secreta', 'Con otro usuario'],
  ],
  exitCodes: ['exitoso', 'configuracion'],
  async run(args, session) {
    await setConnection(session, args.nombre, readSqlServer(args));
  },
});

const list = defineCommand({
  name: 'list',
  description: 'Muestra las conexiones, sin contraseñas',
  arguments: {},
  options: {},
  examples: [['connection list', 'Una línea por conexión']],
  exitCodes: ['exitoso', 'configuracion'],
  async run(_, session) {
    await listConnections(session);
  },
});

const remove = defineCommand({
  name: 'remove',
  description: 'Quita lo que se dio con set',
  arguments: { nombre },
  options: {},
  examples: [['connection remove almacen', 'Vuelve a valer lo del backend']],
  exitCodes: ['exitoso', 'configuracion'],
  async run(args, session) {
    await removeConnection(session, args.nombre);
  },
});

export const connectionCommands: AgentCommandGroup = {
  name: 'connection',
  description: 'Lo que este equipo dice de las conexiones a SQL Server con nombre',
  commands: [set, list, remove],
  examples: [
    ['connection list', 'Qué conexiones hay, y qué se dijo de ellas en este equipo'],
    ['connection set almacen --sql-confiar-certificado', 'Acepta el certificado de esa, sin comprobarlo'],
  ],
};
