import yargs from 'yargs';
import { agentAuthorize, agentList, agentRevoke } from './commands/agents.ts';
import { audit } from './commands/audit.ts';
import { bajasApprove, bajasDiscard, bajasList } from './commands/bajas.ts';
import { configSet } from './commands/config-set.ts';
import { configShow } from './commands/config-show.ts';
import { keyCreate } from './commands/key-create.ts';
import { keyList } from './commands/key-list.ts';
import { keyRevoke } from './commands/key-revoke.ts';
import { serve } from './commands/serve.ts';
import { tenantCreate } from './commands/tenant-create.ts';
import type { Config } from './config.ts';
import { migrate } from './postgres/migrate.ts';

const tenantOption = { type: 'string', demandOption: true, describe: 'ID del tenant' } as const;
const text = (describe: string) => ({ type: 'string', demandOption: true, describe }) as const;

/** The command line is wrong; the message, Spanish, says how. */
export class UsageError extends Error {}

export interface Session {
  /** Called first by every command. */
  loadConfig: () => Config;
  print: (line: string) => void;
}

/** The whole command line. It parses; a wrong one throws UsageError. */
export function buildCommandLine(args: string[], { loadConfig, print }: Session) {
  return yargs(args)
    .scriptName('ax-sync-server')
    .locale('es')
    .usage('$0 <orden>\n\nSe configura con variables de entorno; al menos DATABASE_URL.')
    .command(
      'serve',
      'Migra la base y atiende peticiones',
      (y) => y.example('$0 serve', 'En el puerto de PORT (3000)'),
      () => serve(loadConfig()),
    )
    .command(
      'migrate',
      'Lleva la base de datos a esta versión; como administrador de PostgreSQL, prepara además sus roles',
      (y) => y.example('$0 migrate', 'Una vez, antes del primer serve, como administrador de PostgreSQL'),
      async () => {
        const done = await migrate(loadConfig().DATABASE_URL);
        print(done.length === 0 ? 'La base ya está al día.' : `Migraciones aplicadas: ${done.join(', ')}`);
      },
    )
    .command('tenant', 'Tenants', (y) =>
      y
        .command(
          'create',
          'Crea un tenant con los datos de su SQL Server',
          (y) =>
            y
              .options({
                tenant: tenantOption,
                host: text('Servidor SQL Server: SERVIDOR, SERVIDOR\\INSTANCIA o SERVIDOR,PUERTO'),
                port: { type: 'number', default: 1433, describe: 'Puerto' },
                database: text('Base de datos'),
                user: text('Usuario de SQL Server, o DOMINIO\\usuario de Windows'),
                password: text('Contraseña, tal como la recibirá el cliente'),
              })
              .example(
                '$0 tenant create --tenant acme-corp-001 --host 192.168.1.100 --database EmpresaDB --user sync_user --password ...',
                'El puerto es 1433, si no se dice otro',
              ),
          async ({ tenant, ...server }) => print(await tenantCreate(loadConfig(), { tenantId: tenant, ...server })),
        )
        .example(
          '$0 tenant create --tenant acme-corp-001 --host 192.168.1.100 --database EmpresaDB --user sync_user --password ...',
          'El puerto es 1433, si no se dice otro',
        )
        .demandCommand(1, 'Falta la orden: tenant create'),
    )
    .command('key', 'Claves de API', (y) =>
      y
        .command(
          'create',
          'Crea una clave y la muestra esta única vez',
          (y) =>
            y
              .options({
                tenant: tenantOption,
                nombre: { type: 'string', requiresArg: true, describe: 'Para reconocerla' },
                dias: { type: 'number', requiresArg: true, describe: 'Días que vale (por omisión, sin límite)' },
              })
              .example(
                '$0 key create --tenant acme-corp-001 --nombre Rosario --dias 365',
                'Vale un año; el agente la renueva',
              ),
          async ({ tenant, nombre, dias }) => print(await keyCreate(loadConfig(), tenant, { nombre, dias })),
        )
        .command(
          'list',
          'Muestra las claves: uso, caducidad y estado',
          (y) =>
            y
              .option('tenant', { ...tenantOption, demandOption: false, requiresArg: true })
              .example('$0 key list --tenant acme-corp-001', 'Sin --tenant, las de todos'),
          async ({ tenant }) => print(await keyList(loadConfig(), tenant)),
        )
        .command(
          'revoke',
          'Retira una clave, ya o pasado un plazo de gracia',
          (y) =>
            y
              .options({
                id: { type: 'string', demandOption: true, requiresArg: true, describe: 'ID de la clave (key list)' },
                gracia: { type: 'number', default: 0, requiresArg: true, describe: 'Horas que todavía vale' },
                derivadas: {
                  type: 'boolean',
                  default: false,
                  describe: 'También las que salieron de ella por rotación',
                },
              })
              .example('$0 key revoke --id c4k2... --gracia 24', 'Deja de valer dentro de un día'),
          async ({ id, gracia, derivadas }) => print(await keyRevoke(loadConfig(), id, { gracia, derivadas })),
        )
        .example('$0 key create --tenant acme-corp-001', 'Sin caducidad')
        .demandCommand(1, 'Falta la orden: key create, key list o key revoke'),
    )
    .command('agent', 'Agentes y sus claves', (y) =>
      y
        .command(
          'list',
          'Muestra los agentes, de un tenant o de todos, y su versión',
          (y) =>
            y
              .option('tenant', { ...tenantOption, demandOption: false, requiresArg: true })
              .example('$0 agent list --tenant acme-corp-001', 'Identificador, versión y si está autorizado'),
          async ({ tenant }) => print(await agentList(loadConfig(), tenant)),
        )
        .command(
          'authorize',
          'Autoriza a un agente a recibir la contraseña de SQL Server',
          (y) =>
            y
              .options({ tenant: tenantOption, id: text('Identificador que muestra init') })
              .example('$0 agent authorize --tenant acme-corp-001 --id 3f9a...', 'El segundo agente de un tenant'),
          async ({ tenant, id }) => print(await agentAuthorize(loadConfig(), tenant, id)),
        )
        .command(
          'revoke',
          'Retira esa autorización',
          (y) =>
            y
              .options({ tenant: tenantOption, id: text('Identificador del agente') })
              .example('$0 agent revoke --tenant acme-corp-001 --id 3f9a...', 'El equipo se dio de baja'),
          async ({ tenant, id }) => print(await agentRevoke(loadConfig(), tenant, id)),
        )
        .example('$0 agent list --tenant acme-corp-001', 'Los de un tenant')
        .demandCommand(1, 'Falta la orden: agent list, agent authorize o agent revoke'),
    )
    .command('bajas', 'Bajas retenidas: filas que desaparecieron del origen y esperan a que alguien decida', (y) =>
      y
        .command(
          'list',
          'Las muestra: cuántas, de cuántas filas, y algunas de sus claves',
          (y) =>
            y
              .option('tenant', { ...tenantOption, demandOption: false, requiresArg: true })
              .example('$0 bajas list --tenant acme-corp-001', 'Sin --tenant, las de todos'),
          async ({ tenant }) => print(await bajasList(loadConfig(), tenant)),
        )
        .command(
          'approve',
          'Las aprueba: la próxima ejecución las aplica, una vez',
          (y) =>
            y
              .options({ tenant: tenantOption, id: text('Identificador que muestra bajas list') })
              .example('$0 bajas approve --tenant acme-corp-001 --id c4k2...', 'Esas filas ya no existen en el origen'),
          async ({ tenant, id }) => print(await bajasApprove(loadConfig(), tenant, id)),
        )
        .command(
          'discard',
          'Las descarta: esas filas quedan como están y no se pregunta más por ellas',
          (y) =>
            y
              .options({ tenant: tenantOption, id: text('Identificador que muestra bajas list') })
              .example('$0 bajas discard --tenant acme-corp-001 --id c4k2...', 'El origen estaba incompleto'),
          async ({ tenant, id }) => print(await bajasDiscard(loadConfig(), tenant, id)),
        )
        .example('$0 bajas list --tenant acme-corp-001', 'Las de un tenant')
        .demandCommand(1, 'Falta la orden: bajas list, bajas approve o bajas discard'),
    )
    .command('config', 'Tablas que sincroniza un tenant', (y) =>
      y
        .command(
          'set',
          'Reemplaza las tablas, o las conexiones a otras bases de SQL Server, por las de un archivo JSON',
          (y) =>
            y
              .options({
                tenant: tenantOption,
                file: { type: 'string', requiresArg: true, describe: 'Archivo con tablasSubida y tablasBajada' },
                conexiones: {
                  type: 'string',
                  requiresArg: true,
                  describe: 'Archivo con las conexiones por su nombre (host, port, database, user, password)',
                },
                'claves-nuevas': {
                  type: 'boolean',
                  default: false,
                  describe: 'Las tablas que conservan la clave de una versión anterior pasan a la de primaryKey',
                },
              })
              .example([
                ['$0 config set --tenant acme-corp-001 --file tablas.json', 'La comprueba antes de guardarla'],
                ['$0 config set --tenant acme-corp-001 --conexiones conexiones.json', 'Otras bases de SQL Server'],
              ]),
          async ({ tenant, file, conexiones, clavesNuevas }) =>
            print(
              await configSet(
                loadConfig(),
                tenant,
                { tables: file, connections: conexiones },
                { newKeys: clavesNuevas },
              ),
            ),
        )
        .command(
          'show',
          'Muestra la configuración',
          (y) =>
            y
              .option('tenant', tenantOption)
              .example('$0 config show --tenant acme-corp-001', 'Sin la contraseña de SQL Server'),
          async ({ tenant }) => print(await configShow(loadConfig(), tenant)),
        )
        .example('$0 config show --tenant acme-corp-001', 'La que hay')
        .demandCommand(1, 'Falta la orden: config set o config show'),
    )
    .command(
      'audit',
      'Muestra los cambios de configuraciones, claves y secretos: quién, cuándo, desde dónde y qué',
      (y) =>
        y
          .options({
            tenant: { ...tenantOption, demandOption: false, requiresArg: true },
            desde: {
              type: 'string',
              requiresArg: true,
              describe: 'Fecha, por ejemplo 2026-01-31 o 2026-01-31T10:00:00Z',
            },
            limite: { type: 'number', default: 100, requiresArg: true, describe: 'Cuántos, los últimos' },
            json: { type: 'boolean', default: false, describe: 'Un objeto JSON por línea' },
          })
          .example('$0 audit --tenant acme-corp-001 --desde 2026-11-01', 'Los últimos 100 desde ese día'),
      ({ tenant, desde, limite, json }) => audit(loadConfig(), { tenant, desde, limite, json }, print),
    )
    .example([
      ['$0 serve', 'Atiende peticiones'],
      ['$0 key create --tenant acme-corp-001', 'Una clave para un agente'],
    ])
    .epilogue('Códigos de salida: 0 hecho, 1 falló, 2 la línea de órdenes está mal.')
    .demandCommand(1, 'Falta la orden.')
    .recommendCommands()
    .strict()
    .version(false)
    .fail((message, error) => {
      if (error) throw error;
      throw new UsageError(message);
    });
}
