import { Checklist, describeOutcome } from '../checks/checklist.ts';
import { checkConnections } from '../checks/connections.ts';
import { checkSql } from '../checks/sql.ts';
import { readLocalConfig } from '../config/local.ts';
import { readConfigPassword } from '../config/password.ts';
import { refreshConfig } from '../config/remote.ts';
import type { ExitReason } from '../errors/exit-codes.ts';
import { interactivePolicy } from '../errors/retry.ts';
import { Secrets } from '../ui/secrets.ts';
import { connectBackend } from './agent.ts';

export interface TestOptions {
  folder: string;
  print: (line: string) => void;
  signal: AbortSignal;
}

/**
 * `test`: checks everything that a run needs and changes nothing: backend, key, configuration, each SQL Server, the query
 * of each upload (its first rows are read and thrown away), each download and its target. One line a check.
 */
export async function runTest({ folder, print, signal }: TestOptions): Promise<ExitReason> {
  const password = await readConfigPassword(folder);
  const local = await readLocalConfig(folder, password);
  const secrets = new Secrets();
  for (const secret of [password, local.key]) secrets.add(secret);
  const list = new Checklist({ secrets, signal, onOutcome: (outcome) => print(describeOutcome(outcome)) });
  const backend = await connectBackend(local, { policy: interactivePolicy });
  await list.check('Backend', async () => {
    await backend.checkHealth(signal);
    return { value: undefined, note: `${local.url} responde` };
  });
  const config = await list.check('Credenciales y configuración', async () => {
    // Without the ETag of the copy: what is to be seen is what the backend says now.
    const { remote: _, ...fresh } = local;
    const { config, key } = await refreshConfig(backend, fresh, signal);
    const until = key.end === undefined ? '' : `, la clave vale hasta el ${key.end.toISOString()}`;
    return { value: config, note: `tenant «${local.tenant}», versión ${config.version}${until}` };
  });
  if (config !== undefined) {
    await list.check('SQL del backend', async () => checkSql(local, config));
    await checkConnections({ local, config, secrets, backend, list, thorough: false, signal });
  }
  const good = list.count('falla') === 0;
  print(good ? 'Todo en orden.' : 'Hay comprobaciones que fallan.');
  return good ? 'exitoso' : 'error';
}
