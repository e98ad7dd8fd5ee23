import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Context } from '../context.ts';
import { findDownloadTable } from '../tenants/configurations.ts';
import { openDownload } from '../transfer/download.ts';
import { chooseFormat } from './negotiation.ts';
import type { Handlers } from './register.ts';
import { sendStream, watchRequest } from './streamed-answer.ts';

/**
 * Rows for SQL Server. What fails before the first rows is a problem answer; what fails after is a connection that breaks, never a
 * body that ends well.
 */
export const downloadHandlers = (context: Context) => {
  const send = async (request: FastifyRequest, reply: FastifyReply, nombre: string, asked: Asked) => {
    const tabla = findDownloadTable(request.tenant, nombre);
    const signal = watchRequest(request, reply);
    const body = await openDownload(context, request.tenant, { ...asked, tabla, signal });
    return sendStream(context, request, reply, { body, format: asked.format });
  };
  return {
    async openDownload(request, reply) {
      return send(request, reply, request.query.tabla, { format: chooseFormat(request.headers.accept) });
    },

    async openChanges(request, reply) {
      return send(request, reply, request.body.tabla, { format: 'framed', changes: request.body });
    },

    async compareDownload(request, reply) {
      return send(request, reply, request.body.tabla, { format: 'framed', compared: request.body });
    },
  } satisfies Partial<Handlers>;
};

type Asked = Omit<Parameters<typeof openDownload>[2], 'tabla' | 'signal'>;
