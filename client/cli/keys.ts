import { runApprove } from '../commands/approve.ts';
import { createDataKey, exportDataKey, importDataKey } from '../commands/data-key.ts';
import { runRotateKey } from '../commands/rotate-key.ts';
import { findInstallFolder } from '../config/environment.ts';
import { type Cli, describeExitCodes, type Session } from './shared.ts';

/** What an agent is trusted with, and trusts: `rotate-key`, `approve` and `data-key`. */
export function addKeys(cli: Cli, { run, print, signal }: Session): Cli {
  return cli
    .command(
      'rotate-key',
      'Cambia la clave de API por otra nueva (sync lo hace solo antes de que caduque)',
      (command) =>
        command
          .example('$0 rotate-key', 'La anterior vale todavía un plazo, por si algo se corta')
          .epilogue(describeExitCodes(['exitoso', 'configuracion', 'backend', 'credenciales'])),
      (args) => run(() => runRotateKey({ folder: findInstallFolder(args.carpeta), print, signal })),
    )
    .command(
      'approve',
      'Muestra el SQL del backend que falta aprobar en este equipo, y lo aprueba',
      (command) =>
        command
          .option('huella', { type: 'string', requiresArg: true, describe: 'Aprueba el SQL de esta huella' })
          .option('origen-nuevo', {
            type: 'boolean',
            default: false,
            describe: 'Con --huella: los valores sensibles que bajan pueden ser desde ahora de otras tablas',
          })
          .example([
            ['$0 approve', 'Muestra el SQL que falta aprobar, y su huella'],
            ['$0 approve --huella 4b2c9d…', 'Aprueba lo que se mostró, y nada posterior'],
          ]),
      (args) =>
        run(() =>
          runApprove({
            ...{ folder: findInstallFolder(args.carpeta), huella: args.huella, print, signal },
            forgetsOrigins: args['origen-nuevo'],
          }),
        ),
    )
    .command('data-key', 'Clave de datos del tenant, para camposSensibles', (command) => {
      const archivo = { type: 'string', demandOption: true, requiresArg: true } as const;
      const folderOf = (args: { carpeta?: string | undefined }) => ({ folder: findInstallFolder(args.carpeta), print });
      return command
        .command(
          'create',
          'La crea, en el primer agente del tenant',
          (y) => y.example('$0 data-key create', 'Una vez por tenant'),
          (args) => run(() => createDataKey(folderOf(args))),
        )
        .command(
          'export',
          'La escribe en un archivo sellado con SYNC_DATA_KEY_PASSWORD',
          (y) =>
            y
              .option('archivo', { ...archivo, describe: 'Archivo que se escribe' })
              .example('$0 data-key export --archivo clave-datos.json', 'Para llevarla a otro agente del tenant'),
          (args) => run(() => exportDataKey({ ...folderOf(args), file: args.archivo })),
        )
        .command(
          'import',
          'La toma de un archivo de data-key export',
          (y) =>
            y
              .option('archivo', { ...archivo, describe: 'Archivo que se lee' })
              .example('$0 data-key import --archivo clave-datos.json', 'En el otro agente, con la misma contraseña'),
          (args) => run(() => importDataKey({ ...folderOf(args), file: args.archivo })),
        )
        .example([
          ['$0 data-key create', 'En el primer agente'],
          ['$0 data-key export --archivo clave-datos.json', 'Para el segundo'],
        ])
        .demandCommand(1, 'Falta el comando: data-key create, data-key export o data-key import.');
    });
}
