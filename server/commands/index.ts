import type { Program } from '../../protocol/command-line/declaration.ts';
import { agentCommands } from './agents.ts';
import { auditCommand } from './audit.ts';
import { bajasCommands } from './bajas.ts';
import {
  allExitReasons,
  type ExitReason,
  exitCodes,
  exitMeanings,
  type ServerCommandGroup,
  type Session,
} from './command.ts';
import { configSetCommand } from './config-set.ts';
import { configShowCommand } from './config-show.ts';
import { keyCreateCommand } from './key-create.ts';
import { keyListCommand } from './key-list.ts';
import { keyRevokeCommand } from './key-revoke.ts';
import { migrateCommand } from './migrate.ts';
import { schemaCommands } from './schema.ts';
import { serveCommand } from './serve.ts';
import { tenantCreateCommand } from './tenant-create.ts';
import { tenantDeleteCommand } from './tenant-delete.ts';
import { tenantExportCommand } from './tenant-export.ts';
import { tenantImportCommand } from './tenant-import.ts';
import { tenantLogsCommand } from './tenant-logs.ts';
import { tenantResumeCommand, tenantSuspendCommand } from './tenant-suspend.ts';

const tenantCommands: ServerCommandGroup = {
  name: 'tenant',
  description: 'Tenants',
  commands: [
    ...[tenantCreateCommand, tenantSuspendCommand, tenantResumeCommand, tenantExportCommand, tenantImportCommand],
    ...[tenantDeleteCommand, tenantLogsCommand],
  ],
  examples: tenantCreateCommand.examples,
};

const keyCommands: ServerCommandGroup = {
  name: 'key',
  description: 'Claves de API',
  commands: [keyCreateCommand, keyListCommand, keyRevokeCommand],
  examples: [['key create --tenant acme-corp-001', 'Sin caducidad']],
};

const configCommands: ServerCommandGroup = {
  name: 'config',
  description: 'Tablas que sincroniza un tenant',
  commands: [configSetCommand, configShowCommand],
  examples: [['config show --tenant acme-corp-001', 'La que hay']],
};

/** The server's commands, as help and manual list them. A new one is a file of this folder and a place here. */
export const serverProgram: Program<Session, ExitReason> = {
  name: 'ax-sync-server',
  usage: '$0 <orden>\n\nSe configura con variables de entorno; al menos DATABASE_URL.',
  missing: { command: 'Falta la orden', below: 'Falta la orden' },
  options: {},
  builtIn: ['help'],
  commands: [
    ...[serveCommand, migrateCommand, tenantCommands, keyCommands, agentCommands],
    ...[bajasCommands, schemaCommands, configCommands, auditCommand],
  ],
  examples: [
    ['serve', 'Atiende peticiones'],
    ['key create --tenant acme-corp-001', 'Una clave para un agente'],
  ],
  exitCodes: allExitReasons,
  describeExitCodes: (reasons) =>
    `Códigos de salida: ${reasons.map((reason) => `${exitCodes[reason]} ${exitMeanings[reason]}`).join(', ')}.`,
};
