import type { FastifyBaseLogger } from 'fastify';
import type { Context } from '../context.ts';
import { sealStoredPasswords } from '../tenants/passwords.ts';

/** Names in one line of the log. */
const NAMES_MAX = 20;

/** Seals the passwords of SQL Server that lie in the database in plain, and says what it found. */
export async function sealPasswords({ database, masterKeys }: Context, log: FastifyBaseLogger): Promise<void> {
  if (!masterKeys.available) {
    log.warn('SYNC_MASTER_KEY no está definida: las contraseñas de SQL Server quedan sin cifrar en la base');
  }
  const { sealed, resealed, unreadable } = await database.withConnection((connection) =>
    sealStoredPasswords(connection, masterKeys),
  );
  if (sealed > 0) log.info(`se sellaron ${sealed} contraseñas de SQL Server que estaban sin cifrar`);
  if (resealed > 0) log.info(`se sellaron ${resealed} contraseñas de SQL Server con la clave maestra actual`);
  if (unreadable.length === 0) return;
  const names = unreadable.slice(0, NAMES_MAX).join(', ');
  log.error(
    `una contraseña de SQL Server de ${unreadable.length} tenants no se abre con SYNC_MASTER_KEY ni con ` +
      `SYNC_MASTER_KEY_PREVIOUS, o sqlServerConexiones no es válido: ${names}${unreadable.length > NAMES_MAX ? '…' : ''}`,
  );
}
