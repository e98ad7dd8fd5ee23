import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { type Config, directUrl } from '../config.ts';
import { migrate } from '../postgres/migrate.ts';
import { assertNoSuperuser } from '../postgres/tenant.ts';
import { allExitReasons, defineCommand } from './command.ts';
import { withDatabase } from './with-database.ts';

export const serveCommand = defineCommand({
  name: 'serve',
  description: 'Migra la base y atiende peticiones',
  arguments: {},
  options: {},
  examples: [['serve', 'En el puerto de PORT (3000)']],
  exitCodes: allExitReasons,
  async run(_, { loadConfig }) {
    await serve(loadConfig());
  },
});

/**
 * Migrates, unless it would do so as a superuser, listens, and returns once a signal (SIGINT, SIGTERM) has ended it: no new requests, those that run finish
 * within SHUTDOWN_SECONDS, then their connections are cut. A second signal cuts them at once.
 */
export async function serve(config: Config): Promise<void> {
  await withDatabase(config, assertNoSuperuser);
  await migrate(directUrl(config));
  // Half of what the program loads; the other commands do without it.
  const { buildApp } = await import('../app.ts');
  const app = await buildApp(config);
  try {
    await app.listen({ host: config.HOST, port: config.PORT });
    app.log.info(`escuchando en el puerto ${portOf(app)}`);
    app.log.info(`se recibió ${await nextSignal()}: se terminan las peticiones en curso`);
  } finally {
    await closeWithin(app, config.SHUTDOWN_SECONDS);
  }
  app.log.info('servidor detenido');
}

function portOf(app: FastifyInstance): string {
  const address = app.server.address();
  return typeof address === 'object' && address !== null ? String(address.port) : String(address);
}

function nextSignal(): Promise<string> {
  return new Promise((resolve) => {
    const heard = (signal: string) => {
      for (const name of ['SIGINT', 'SIGTERM']) process.off(name, heard);
      resolve(signal);
    };
    for (const name of ['SIGINT', 'SIGTERM']) process.on(name, heard);
  });
}

/** What was cut still has this long to roll back and be logged. */
const AFTER_CUT_MS = 1000;
const SWEEP_MS = 200;

async function closeWithin(app: FastifyInstance, seconds: number): Promise<void> {
  const waiting = new AbortController();
  const deadline = Promise.race([sleep(seconds * 1000, undefined, waiting), nextSignal()]).then(async () => {
    app.log.warn('se cortan las peticiones que siguen en curso');
    app.server.closeAllConnections();
    await sleep(AFTER_CUT_MS, undefined, waiting);
  });
  // A connection that was busy when the closing began is kept alive by its peer once its answer is out.
  const sweep = setInterval(() => app.server.closeIdleConnections(), SWEEP_MS);
  await Promise.race([app.close(), deadline.catch(() => {})]);
  clearInterval(sweep);
  waiting.abort();
}
