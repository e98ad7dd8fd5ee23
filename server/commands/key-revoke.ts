import { visibleLine } from '../../protocol/visible.ts';
import type { Config } from '../config.ts';
import { revokeApiKey } from '../tenants/api-keys.ts';
import { allExitReasons, defineCommand } from './command.ts';
import { stateOf } from './key-list.ts';
import { CommandError, withDatabase } from './with-database.ts';

export const keyRevokeCommand = defineCommand({
  name: 'revoke',
  description: 'Retira una clave, ya o pasado un plazo de gracia',
  arguments: {},
  options: {
    id: { type: 'string', demandOption: true, requiresArg: true, describe: 'ID de la clave (key list)' },
    gracia: { type: 'number', default: 0, requiresArg: true, describe: 'Horas que todavía vale' },
    derivadas: { type: 'boolean', default: false, describe: 'También las que salieron de ella por rotación' },
  },
  examples: [['key revoke --id c4k2... --gracia 24', 'Deja de valer dentro de un día']],
  exitCodes: allExitReasons,
  async run({ id, gracia, derivadas }, { loadConfig, print }) {
    print(await keyRevoke(loadConfig(), id, { gracia, derivadas }));
  },
});

/** As long as a month: a key that somebody else may have should not live longer. */
const GRACE_MAX_HOURS = 720;

/**
 * Revokes a key, `gracia` hours from now; with `derivadas` also those that came in its place by rotation. Says which
 * keys came of it and are still in force.
 * @throws {CommandError} when the key is not in force
 */
export async function keyRevoke(
  config: Config,
  id: string,
  { gracia, derivadas }: { gracia: number; derivadas: boolean },
): Promise<string> {
  if (!(Number.isInteger(gracia) && gracia >= 0 && gracia <= GRACE_MAX_HOURS)) {
    throw new CommandError(
      `--gracia «${gracia}» no vale: debe ser un número entero de horas entre 0 y ${GRACE_MAX_HOURS}`,
    );
  }
  const { revoked, left } = await withDatabase(config, (connection) =>
    revokeApiKey(connection, id, { graceHours: gracia, descendants: derivadas }),
  );
  if (revoked.length === 0) {
    const where = left.length === 0 ? '' : `; siguen en vigor las que salieron de ella: ${idsOf(left)} (--derivadas)`;
    throw new CommandError(`no hay una clave «${visibleLine(id)}» en vigor${where}`);
  }
  const lines = revoked.map((key) => `Clave ${key.id} de «${visibleLine(key.tenantId)}»: ${stateOf(key)}.`);
  if (left.length > 0) lines.push(`AVISO: siguen en vigor las que salieron de ella por rotación: ${idsOf(left)}.`);
  return lines.join('\n');
}

function idsOf(keys: readonly { id: string }[]): string {
  return keys.map(({ id }) => visibleLine(id)).join(', ');
}
