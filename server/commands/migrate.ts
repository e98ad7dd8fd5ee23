import { directUrl } from '../config.ts';
import { migrate } from '../postgres/migrate.ts';
import { partitionRows } from '../postgres/partition.ts';
import { allExitReasons, defineCommand } from './command.ts';
import { withDatabase } from './with-database.ts';

export const migrateCommand = defineCommand({
  name: 'migrate',
  description: 'Lleva la base de datos a esta versión; como administrador de PostgreSQL, prepara además sus roles',
  arguments: {},
  options: {
    partition: {
      type: 'boolean',
      default: false,
      describe: 'Parte parametros_maestros por tenant, sin detener a nadie; si se corta, otra vez la misma orden sigue',
    },
  },
  examples: [
    ['migrate', 'Una vez, antes del primer serve, como administrador de PostgreSQL'],
    ['migrate --partition', 'Cuando son muchos los tenants, o las filas'],
  ],
  exitCodes: allExitReasons,
  async run({ partition }, { loadConfig, print }) {
    const config = loadConfig();
    const done = await migrate(directUrl(config));
    print(done.length === 0 ? 'La base ya está al día.' : `Migraciones aplicadas: ${done.join(', ')}`);
    if (!partition) return;
    const parted = await withDatabase(config, (connection) => partitionRows(connection, { tell: print }));
    print(parted ? 'parametros_maestros está partida por tenant.' : 'parametros_maestros ya está partida.');
  },
});
