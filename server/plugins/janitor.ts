import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import type { Context } from '../context.ts';
import { claimTask } from '../postgres/claims.ts';
import { countWeeksAhead, makeWeeks, retireWeeks } from '../postgres/log-weeks.ts';
import { type Connection, withDirectConnection } from '../postgres/pool.ts';
import { deleteExpiredBajas } from '../rows/bajas.ts';
import { deleteOldIdempotencyKeys } from '../rows/idempotency.ts';
import { tidyEdits } from '../rows/ledgers.ts';
import { deleteExpiredUploads } from '../rows/uploads.ts';
import { addUpDays, deleteOldLogs } from '../tenants/log-upkeep.ts';
import { sealPasswords } from './passwords.ts';

/** How often. */
export const CLEANING_MS = 10 * 60 * 1000;

/** Weeks of sync_logs made ahead below which somebody is told: they are made four at a time. */
const WEEKS_ALARM = 2;

interface Task {
  /** Once in so many seconds, whichever process it is. Somewhat less than CLEANING_MS, which no process keeps to the second. */
  seconds: number;
  run(context: Context, log: FastifyBaseLogger): Promise<void>;
}

/** What is done, by its name in sync_tareas. */
const tasks: Readonly<Record<string, Task>> = {
  subidas: { seconds: 590, run: forgetExpired },
  contrasenas: { seconds: 590, run: sealPasswords },
  registros: { seconds: 3590, run: keepLogs },
};

async function forgetExpired(context: Context, log: FastifyBaseLogger): Promise<void> {
  await unhurried(context, async (connection) => {
    await deleteExpiredBajas(connection);
    await tidyEdits(connection);
    const subidas = await deleteExpiredUploads(connection);
    const respuestas = await deleteOldIdempotencyKeys(connection, context.config.UPLOAD_EXPIRE_HOURS);
    if (subidas + respuestas > 0) log.info({ subidas, respuestas }, 'se olvidaron subidas caducadas');
  });
}

async function keepLogs(context: Context, log: FastifyBaseLogger): Promise<void> {
  await unhurried(context, async (connection) => {
    await makeWeeks(connection);
    const semanas = await countWeeksAhead(connection);
    if (semanas < WEEKS_ALARM) log.error({ semanas }, 'sync_logs no tiene particiones para las próximas semanas');
    // Before anything of them goes.
    const dias = await addUpDays(connection);
    const registros = await deleteOldLogs(connection, context.config.LOGS_DIAS);
    const particiones = await retireWeeks(connection, context.config.LOGS_DIAS);
    if (dias + registros + particiones.length > 0) {
      log.info({ dias, registros, particiones }, 'se ordenaron los registros antiguos');
    }
  });
}

/** Lends a connection for work that is not as short as a request: one of its own. */
function unhurried<T>({ config }: Context, work: (connection: Connection) => Promise<T>): Promise<T> {
  return withDirectConnection(config, async (connection) => {
    await connection.query(`SET statement_timeout = ${CLEANING_MS}`);
    return work(connection);
  });
}

/** Does what is due and no other process has claimed; returns the names of what it did. What fails is told, and keeps nothing else from it. */
export async function tidy(context: Context, log: FastifyBaseLogger): Promise<string[]> {
  const done: string[] = [];
  let failed = false;
  for (const [name, { seconds, run }] of Object.entries(tasks)) {
    try {
      if (!(await context.database.withConnection((connection) => claimTask(connection, name, seconds)))) continue;
      await run(context, log);
      done.push(name);
    } catch (error) {
      failed = true;
      log.warn({ err: error, tarea: name }, 'no se pudo hacer la limpieza periódica');
    }
  }
  context.meters.countCleaning(!failed);
  return done;
}

/**
 * Every ten minutes forgets uploads and answers whose time is over, seals passwords that came in plain, and keeps sync_logs in order:
 * each by one process for all.
 */
export const janitor = fp(async (app: FastifyInstance, context: Context) => {
  let running: Promise<unknown> = Promise.resolve();
  const timer = setInterval(() => {
    running = running.then(() => tidy(context, app.log));
  }, CLEANING_MS);
  timer.unref();
  app.addHook('onClose', async () => {
    clearInterval(timer);
    await running;
  });
});
