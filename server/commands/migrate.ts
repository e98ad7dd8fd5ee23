import { migrate } from '../postgres/migrate.ts';
import { allExitReasons, defineCommand } from './command.ts';

export const migrateCommand = defineCommand({
  name: 'migrate',
  description: 'Lleva la base de datos a esta versión; como administrador de PostgreSQL, prepara además sus roles',
  arguments: {},
  options: {},
  examples: [['migrate', 'Una vez, antes del primer serve, como administrador de PostgreSQL']],
  exitCodes: allExitReasons,
  async run(_, { loadConfig, print }) {
    const { DATABASE_URL, DATABASE_DIRECT_URL = DATABASE_URL } = loadConfig();
    const done = await migrate(DATABASE_DIRECT_URL);
    print(done.length === 0 ? 'La base ya está al día.' : `Migraciones aplicadas: ${done.join(', ')}`);
  },
});
