import type { Config } from '../config.ts';
import { OperatorError } from '../operator-error.ts';
import { type Connection, withDirectConnection } from '../postgres/pool.ts';
import { operatorHere, setAuthor } from '../tenants/audit.ts';

/** Lends a command one connection, under the operator's name for the audit, and closes it. */
export async function withDatabase<T>(config: Config, fn: (connection: Connection) => Promise<T>): Promise<T> {
  return withDirectConnection(config, async (connection) => {
    await setAuthor(connection, operatorHere(), 'session');
    return fn(connection);
  });
}

/** What keeps a command from its end, in words for an operator. */
export class CommandError extends OperatorError {
  override readonly name = 'CommandError';
}
