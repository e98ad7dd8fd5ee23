import { listConnections, removeConnection, setConnection } from '../commands/connection.ts';
import { findInstallFolder } from '../config/environment.ts';
import type { Cli, Session } from './shared.ts';
import { readSqlServer, sqlServerOptions } from './sql-server.ts';

export function addConnection(cli: Cli, { run, print }: Session): Cli {
  const optionsOf = (args: { carpeta?: string | undefined }) => ({ folder: findInstallFolder(args.carpeta), print });
  const nombre = { type: 'string', demandOption: true, describe: 'Su nombre en sqlServerConexiones' } as const;
  return cli.command('connection', 'Lo que este equipo dice de las conexiones a SQL Server con nombre', (command) =>
    command
      .command(
        'set <nombre>',
        'Vale en vez de lo que diga el backend, no sale de este equipo y sustituye entero lo anterior',
        (y) =>
          sqlServerOptions(y.positional('nombre', nombre)).example([
            ['$0 connection set almacen --sql-confiar-certificado', 'Su certificado es el que él mismo se hizo'],
            ['$0 connection set almacen --sql-user lector --sql-password secreta', 'Con otro usuario'],
          ]),
        (args) => run(() => setConnection(optionsOf(args), args.nombre, readSqlServer(args))),
      )
      .command(
        'list',
        'Muestra las conexiones, sin contraseñas',
        (y) => y.example('$0 connection list', 'Una línea por conexión'),
        (args) => run(() => listConnections(optionsOf(args))),
      )
      .command(
        'remove <nombre>',
        'Quita lo que se dio con set',
        (y) => y.positional('nombre', nombre).example('$0 connection remove almacen', 'Vuelve a valer lo del backend'),
        (args) => run(() => removeConnection(optionsOf(args), args.nombre)),
      )
      .example([
        ['$0 connection list', 'Qué conexiones hay, y qué se dijo de ellas en este equipo'],
        ['$0 connection set almacen --sql-confiar-certificado', 'Acepta el certificado de esa, sin comprobarlo'],
      ])
      .demandCommand(1, 'Falta qué hacer: connection set, connection list o connection remove.'),
  );
}
