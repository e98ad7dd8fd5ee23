import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import type { Context } from '../context.ts';
import { SHORT_REQUESTS } from '../postgres/pool.ts';
import { deleteExpiredBajas } from '../rows/bajas.ts';
import { deleteOldIdempotencyKeys } from '../rows/idempotency.ts';
import { tidyEdits } from '../rows/ledgers.ts';
import { deleteExpiredUploads } from '../rows/uploads.ts';
import { sealPasswords } from './passwords.ts';

/** How often. */
export const CLEANING_MS = 10 * 60 * 1000;

/** Every ten minutes forgets uploads and answers whose time is over, and seals passwords that came in plain. Several processes may do so at once. */
export const janitor = fp(async (app: FastifyInstance, context: Context) => {
  const { config, database, meters } = context;
  const clean = async () => {
    try {
      const [uploads, answers] = await database.withConnection(async (connection) => {
        // Not as short as a request.
        await connection.query(`SET statement_timeout = ${CLEANING_MS}`);
        try {
          await deleteExpiredBajas(connection);
          await tidyEdits(connection);
          return [
            await deleteExpiredUploads(connection),
            await deleteOldIdempotencyKeys(connection, config.UPLOAD_EXPIRE_HOURS),
          ];
        } finally {
          await connection.query(`SET statement_timeout = ${SHORT_REQUESTS.statementMs}`);
        }
      });
      if (uploads! + answers! > 0) app.log.info({ uploads, answers }, 'se olvidaron subidas caducadas');
      await sealPasswords(context, app.log);
      meters.countCleaning(true);
    } catch (error) {
      meters.countCleaning(false);
      app.log.warn({ err: error }, 'no se pudo hacer la limpieza periódica');
    }
  };
  let running = Promise.resolve();
  const timer = setInterval(() => {
    running = running.then(clean);
  }, CLEANING_MS);
  timer.unref();
  app.addHook('onClose', async () => {
    clearInterval(timer);
    await running;
  });
});
