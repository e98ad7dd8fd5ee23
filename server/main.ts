#!/usr/bin/env node
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { SyncError } from '../protocol/errors.ts';
import { agentAuthorize, agentList, agentRevoke } from './commands/agents.ts';
import { audit } from './commands/audit.ts';
import { configSet } from './commands/config-set.ts';
import { configShow } from './commands/config-show.ts';
import { keyCreate } from './commands/key-create.ts';
import { keyList } from './commands/key-list.ts';
import { keyRevoke } from './commands/key-revoke.ts';
import { serve } from './commands/serve.ts';
import { tenantCreate } from './commands/tenant-create.ts';
import { CommandError } from './commands/with-database.ts';
import { ConfigError, loadConfig } from './config.ts';
import { migrate } from './postgres/migrate.ts';
import { RolesError } from './postgres/tenant.ts';

/** Exit codes: 0 done, 1 failed, 2 wrong use. */
const USAGE = 2;

const tenantOption = { type: 'string', demandOption: true, describe: 'ID del tenant' } as const;
const text = (describe: string) => ({ type: 'string', demandOption: true, describe }) as const;
const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

const cli = yargs(hideBin(process.argv))
  .scriptName('ax-sync-server')
  .locale('es')
  .usage('$0 <orden>\n\nSe configura con variables de entorno; al menos DATABASE_URL.')
  .command('serve', 'Migra la base y atiende peticiones', {}, () => serve(loadConfig()))
  .command(
    'migrate',
    'Lleva la base de datos a esta versión; como administrador de PostgreSQL, prepara además sus roles',
    {},
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
        {
          tenant: tenantOption,
          host: text('Servidor SQL Server: SERVIDOR, SERVIDOR\\INSTANCIA o SERVIDOR,PUERTO'),
          port: { type: 'number', default: 1433, describe: 'Puerto' },
          database: text('Base de datos'),
          user: text('Usuario de SQL Server, o DOMINIO\\usuario de Windows'),
          password: text('Contraseña, tal como la recibirá el cliente'),
        },
        async ({ tenant, ...server }) => print(await tenantCreate(loadConfig(), { tenantId: tenant, ...server })),
      )
      .demandCommand(1, 'Falta la orden: tenant create'),
  )
  .command('key', 'Claves de API', (y) =>
    y
      .command(
        'create',
        'Crea una clave y la muestra esta única vez',
        {
          tenant: tenantOption,
          nombre: { type: 'string', requiresArg: true, describe: 'Para reconocerla' },
          dias: { type: 'number', requiresArg: true, describe: 'Días que vale (por omisión, sin límite)' },
        },
        async ({ tenant, nombre, dias }) => print(await keyCreate(loadConfig(), tenant, { nombre, dias })),
      )
      .command(
        'list',
        'Muestra las claves: uso, caducidad y estado',
        { tenant: { ...tenantOption, demandOption: false, requiresArg: true } },
        async ({ tenant }) => print(await keyList(loadConfig(), tenant)),
      )
      .command(
        'revoke',
        'Retira una clave, ya o pasado un plazo de gracia',
        {
          id: { type: 'string', demandOption: true, requiresArg: true, describe: 'ID de la clave (key list)' },
          gracia: { type: 'number', default: 0, requiresArg: true, describe: 'Horas que todavía vale' },
          derivadas: { type: 'boolean', default: false, describe: 'También las que salieron de ella por rotación' },
        },
        async ({ id, gracia, derivadas }) => print(await keyRevoke(loadConfig(), id, { gracia, derivadas })),
      )
      .demandCommand(1, 'Falta la orden: key create, key list o key revoke'),
  )
  .command('agent', 'Agentes y sus claves', (y) =>
    y
      .command(
        'list',
        'Muestra los agentes, de un tenant o de todos, y su versión',
        { tenant: { ...tenantOption, demandOption: false, requiresArg: true } },
        async ({ tenant }) => print(await agentList(loadConfig(), tenant)),
      )
      .command(
        'authorize',
        'Autoriza a un agente a recibir la contraseña de SQL Server',
        { tenant: tenantOption, id: text('Identificador que muestra init') },
        async ({ tenant, id }) => print(await agentAuthorize(loadConfig(), tenant, id)),
      )
      .command(
        'revoke',
        'Retira esa autorización',
        { tenant: tenantOption, id: text('Identificador del agente') },
        async ({ tenant, id }) => print(await agentRevoke(loadConfig(), tenant, id)),
      )
      .demandCommand(1, 'Falta la orden: agent list, agent authorize o agent revoke'),
  )
  .command('config', 'Tablas que sincroniza un tenant', (y) =>
    y
      .command(
        'set',
        'Reemplaza las tablas, o las conexiones a otras bases de SQL Server, por las de un archivo JSON',
        {
          tenant: tenantOption,
          file: { type: 'string', requiresArg: true, describe: 'Archivo con tablasSubida y tablasBajada' },
          conexiones: {
            type: 'string',
            requiresArg: true,
            describe: 'Archivo con las conexiones por su nombre (host, port, database, user, password)',
          },
        },
        async ({ tenant, file, conexiones }) =>
          print(await configSet(loadConfig(), tenant, { tables: file, connections: conexiones })),
      )
      .command('show', 'Muestra la configuración', { tenant: tenantOption }, async ({ tenant }) =>
        print(await configShow(loadConfig(), tenant)),
      )
      .demandCommand(1, 'Falta la orden: config set o config show'),
  )
  .command(
    'audit',
    'Muestra los cambios de configuraciones, claves y secretos: quién, cuándo, desde dónde y qué',
    {
      tenant: { ...tenantOption, demandOption: false, requiresArg: true },
      desde: { type: 'string', requiresArg: true, describe: 'Fecha, por ejemplo 2026-01-31 o 2026-01-31T10:00:00Z' },
      limite: { type: 'number', default: 100, requiresArg: true, describe: 'Cuántos, los últimos' },
      json: { type: 'boolean', default: false, describe: 'Un objeto JSON por línea' },
    },
    ({ tenant, desde, limite, json }) => audit(loadConfig(), { tenant, desde, limite, json }, print),
  )
  .demandCommand(1, 'Falta la orden.')
  .recommendCommands()
  .strict()
  .version(false)
  .fail((message, error) => {
    if (error) throw error;
    process.stderr.write(`${message}\nVea ax-sync-server --help\n`);
    process.exit(USAGE);
  });

try {
  await cli.parseAsync();
  process.exit(0);
} catch (error) {
  process.stderr.write(`ax-sync-server: ${describe(error)}\n`);
  process.exit(1);
}

function describe(error: unknown): string {
  if (error instanceof CommandError || error instanceof ConfigError || error instanceof RolesError) {
    return error.message;
  }
  if (error instanceof SyncError) return error.toProblem().mensaje;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
