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
export const downloadHandlers = (context: Context) =>
  ({
    async openDownload(request, reply) {
      const format = chooseFormat(request.headers.accept);
      const table = findDownloadTable(request.tenant, request.query.tabla);
      const signal = watchRequest(request, reply);
      const body = await openDownload(context, request.tenant, { tabla: table, format, signal });
      return sendStream(context, request, reply, { body, format });
    },

    async openChanges(request, reply) {
      const { tenant, body: changes } = request;
      const tabla = findDownloadTable(tenant, changes.tabla);
      const signal = watchRequest(request, reply);
      const body = await openDownload(context, tenant, { tabla, format: 'framed', changes, signal });
      return sendStream(context, request, reply, { body, format: 'framed' });
    },

    async compareDownload(request, reply) {
      const { tenant, body: compared } = request;
      const tabla = findDownloadTable(tenant, compared.tabla);
      const signal = watchRequest(request, reply);
      const body = await openDownload(context, tenant, { tabla, format: 'framed', compared, signal });
      return sendStream(context, request, reply, { body, format: 'framed' });
    },
  }) satisfies Partial<Handlers>;
