import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Context } from '../context.ts';
import { inTransaction } from '../postgres/pool.ts';
import { setTimeouts } from '../postgres/tenant.ts';
import { findDetails, pairsSql, storeVerification, summarySql, type VerifiedTable } from '../rows/verify.ts';
import { listAgents } from '../tenants/agents.ts';
import { type Configuration, findDownloadTable, findUploadTable } from '../tenants/configurations.ts';
import { openHashes } from '../transfer/verify.ts';
import { agentOf } from './bodies.ts';
import type { Handlers } from './register.ts';
import { sendStream, watchRequest } from './streamed-answer.ts';

/** A table at the centre as hashes, for the agent that compares it with its source; and how that ended. */
export const verificacionesHandlers = (context: Context) => {
  const { config, database } = context;
  const tableOf = (
    configuration: Configuration,
    { tabla, semilla }: { tabla: string; semilla: string },
  ): VerifiedTable => ({
    configuration,
    tabla: findUploadTable(configuration, tabla),
    semilla,
  });
  const send = async (request: FastifyRequest, reply: FastifyReply, table: VerifiedTable, select: string) => {
    const body = await openHashes(context, table, watchRequest(request, reply), select);
    return sendStream(context, request, reply, { body, format: 'framed' });
  };
  return {
    async summarize(request, reply) {
      const table = tableOf(request.tenant, request.body);
      return send(request, reply, table, summarySql(table, request.body.bits));
    },

    async listPairs(request, reply) {
      const { tenant, body } = request;
      const table = tableOf(tenant, body);
      const cubos = Buffer.from(body.cubos, 'base64');
      return send(request, reply, table, pairsSql(table, { bits: body.bits, cubos }));
    },

    async findDetails(request) {
      const { tenant, body } = request;
      const table = tableOf(tenant, body);
      const [huellas, claves, columnas] = [body.huellas, body.claves, body.columnas].map((hashes) =>
        Buffer.from(hashes, 'base64'),
      ) as [Buffer, Buffer, Buffer];
      return database.withTransfer(tenant.tenantId, (connection) =>
        inTransaction(
          connection,
          async () => {
            const { SQL_TIMEOUT_MS: statementMs, LOCK_TIMEOUT_MS: lockMs } = config;
            await setTimeouts(connection, { statementMs, lockMs });
            return { success: true as const, ...(await findDetails(connection, table, { huellas, claves, columnas })) };
          },
          'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY',
        ),
      );
    },

    async storeVerification(request) {
      const { tenant, body } = request;
      if (body.direccion === 'upload') findUploadTable(tenant, body.tabla);
      else findDownloadTable(tenant, body.tabla);
      await database.withTenantConnection(tenant.tenantId, async (connection) => {
        const named = agentOf(request);
        const known = named === undefined ? [] : await listAgents(connection, tenant.tenantId);
        const agente = known.find(({ id }) => id === named)?.id ?? '';
        await inTransaction(connection, () => storeVerification(connection, tenant.tenantId, agente, body));
      });
      return { success: true as const };
    },
  } satisfies Partial<Handlers>;
};
