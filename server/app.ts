import type { IncomingMessage } from 'node:http';
import { TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox';
import fastify, { type FastifyInstance, LogController } from 'fastify';
import { API_PREFIX } from '../protocol/constants.ts';
import { defined } from '../protocol/defined.ts';
import { type Config, isTracing } from './config.ts';
import type { Context } from './context.ts';
import { makeMeters } from './meters.ts';
import { agentVersion } from './plugins/agent-version.ts';
import { auth } from './plugins/auth.ts';
import { guards } from './plugins/guards.ts';
import { janitor } from './plugins/janitor.ts';
import { metrics } from './plugins/metrics.ts';
import { sealPasswords } from './plugins/passwords.ts';
import { answerBadHttp, answerBadUrl, EXPECTS_SOMETHING, problems } from './plugins/problems.ts';
import { sockets } from './plugins/sockets.ts';
import { openDatabase, SHORT_REQUESTS } from './postgres/pool.ts';
import { assertRevoked } from './postgres/revoked.ts';
import { assertRoles } from './postgres/tenant.ts';
import { makeHandlers } from './routes/handlers.ts';
import { registerEndpoints } from './routes/register.ts';
import { findEditGaps } from './rows/ledgers.ts';
import { findAuditGaps } from './tenants/audit.ts';
import { readMasterKeys } from './tenants/master-keys.ts';

/** Node's own default, written down. */
const HEADERS_MAX_BYTES = 16 * 1024;
/** A socket that has not said what it wants by then is closed: a sixth of Node's own time. */
const HEADERS_MS = 15_000;

/**
 * Builds the server, ready to listen on (`app.listen`) or to inject into; the database must have been migrated. Closing
 * it lets running requests finish and closes its connections.
 * Throws when the database cannot be reached or lacks the roles. `destination` takes the log instead of stdout.
 */
export async function buildApp(config: Config, destination?: { write(entry: string): void }): Promise<FastifyInstance> {
  const app = fastify({
    logger: { level: config.LOG_LEVEL, ...defined({ stream: destination }) },
    logController: new LogController({ disableRequestLogging: true }),
    // Never all of X-Forwarded-For: its first address is whatever the client wrote there.
    trustProxy: config.TRUST_PROXY && ((_address, hop) => hop < config.TRUST_PROXY_HOPS),
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 300 },
    http: { maxHeaderSize: HEADERS_MAX_BYTES, headersTimeout: HEADERS_MS, connectionsCheckingInterval: HEADERS_MS / 3 },
    frameworkErrors: answerBadUrl,
    clientErrorHandler: answerBadHttp,
  });
  app.server.on('checkExpectation', ({ socket }: IncomingMessage) => {
    answerBadHttp(Object.assign(new Error(), { code: EXPECTS_SOMETHING }), socket);
  });
  app.setValidatorCompiler(TypeBoxValidatorCompiler);

  const masterKeys = readMasterKeys(config);
  const database = openDatabase(
    config,
    (error) => app.log.warn({ err: error }, 'se perdió una conexión a la base'),
    SHORT_REQUESTS,
  );
  app.addHook('onClose', () => database.close());
  const context: Context = { config, database, masterKeys, meters: makeMeters(), log: app.log };
  try {
    // Before there are routes, and loaded only here.
    if (isTracing(config)) await (await import('./tracing/start.ts')).startTracing(app, config);
    await database.withConnection(assertRoles);
    await database.withConnection((connection) => assertRevoked(connection, config, app.log));
    const gaps = await database.withConnection(findAuditGaps);
    if (gaps.length > 0)
      app.log.error({ tablas: gaps }, 'la auditoría no está completa: hay disparadores desactivados');
    if (await database.withConnection(findEditGaps)) {
      app.log.error('faltan disparadores sync_edicion_* de parametros_maestros: las tablas con huellas suben enteras');
    }
    await sealPasswords(context, app.log);
    await app.register(sockets, context);
    await app.register(problems);
    await app.register(metrics, context);
    await app.register(guards, context);
    await app.register(janitor, context);
    const handlers = makeHandlers(context);
    await app.register(
      async (api) => {
        await registerEndpoints(api, 'open', handlers, config);
        await api.register(async (tenants) => {
          await tenants.register(auth, context);
          await tenants.register(agentVersion, context);
          await registerEndpoints(tenants, 'tenant', handlers, config);
        });
      },
      { prefix: API_PREFIX },
    );
    app.addHook('onResponse', async (request, reply) => {
      // Neither headers nor bodies: they carry keys and data.
      const fields = {
        metodo: request.method,
        ruta: request.routeOptions.url ?? request.url.split('?')[0],
        tenant: request.tenant?.tenantId,
        estado: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
      };
      if (reply.raw.writableFinished)
        request.log[request.routeOptions.logLevel === 'warn' ? 'debug' : 'info'](fields, 'petición atendida');
      else request.log.warn(fields, 'respuesta cortada');
    });
    await app.ready();
    return app;
  } catch (error) {
    await app.close();
    throw error;
  }
}
