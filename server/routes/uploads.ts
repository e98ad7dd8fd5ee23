import { limits, mediaTypes } from '../../protocol/constants.ts';
import { urlTo } from '../../protocol/endpoints.ts';
import { SyncError } from '../../protocol/errors.ts';
import type { Context } from '../context.ts';
import { inTransaction } from '../postgres/pool.ts';
import { readBajas } from '../rows/hashed-bajas.ts';
import { assertNamesBase } from '../rows/ledgers.ts';
import { createUpload, deleteUpload, findChunks, lockUpload } from '../rows/uploads.ts';
import { findUploadTable } from '../tenants/configurations.ts';
import { commitUpload, receiveChunk } from '../transfer/upload.ts';
import { agentOf, bodyOf, digestOfRequest, mediaTypeOf } from './bodies.ts';
import type { Handlers } from './register.ts';

/** An upload in chunks that survives whatever happens between two of them. */
export const uploadsHandlers = (context: Context) => {
  const { config, database } = context;
  return {
    async openUpload(request, reply) {
      const { tenantId } = request.tenant;
      assertNamesBase(request.body, request.body.modo);
      const table = findUploadTable(request.tenant, request.body.tabla);
      const upload = await database.withTenantConnection(tenantId, (connection) =>
        createUpload(connection, tenantId, table, request.body, {
          openMax: config.UPLOADS_OPEN_MAX,
          expireHours: config.UPLOAD_EXPIRE_HOURS,
        }),
      );
      reply.code(201).header('location', urlTo('findUpload', { tenantId, id: upload.id }));
      return {
        success: true,
        id: upload.id,
        tabla: upload.tabla,
        modo: upload.modo,
        limites: {
          chunkBodyMaxBytes: config.CHUNK_BODY_MAX_BYTES,
          chunkMaxBytes: config.CHUNK_MAX_BYTES,
          lineMaxBytes: config.LINE_MAX_BYTES,
          chunksMaxCount: limits.chunksMaxCount,
        },
        expira: upload.expiresAt.toISOString(),
      };
    },

    async findUpload(request) {
      return database.withTenantConnection(request.tenant.tenantId, async (connection) => {
        const upload = await lockUpload(connection, request.tenant.tenantId, request.params.id, 'none');
        return {
          success: true,
          id: upload.id,
          tabla: upload.tabla,
          modo: upload.modo,
          estado: upload.resultado === null ? 'abierta' : 'confirmada',
          trozos: await findChunks(connection, upload.id),
          expira: upload.expiresAt.toISOString(),
        };
      });
    },

    async putChunk(request) {
      const { id } = request.params;
      const n = Number(request.params.n);
      if (n > limits.chunksMaxCount) {
        throw new SyncError('CUERPO_INVALIDO', `El trozo ${n} pasa de ${limits.chunksMaxCount}.`, { campo: 'n' });
      }
      if (mediaTypeOf(request) === mediaTypes.json) {
        throw new SyncError('TIPO_NO_ADMITIDO', 'Un trozo es NDJSON comprimido con gzip.', { trozo: n });
      }
      const digest = digestOfRequest(request);
      if (digest === undefined) {
        throw new SyncError('CUERPO_INVALIDO', 'Falta Content-Digest.', { campo: 'Content-Digest', trozo: n });
      }
      return receiveChunk(context, request.tenant, { uploadId: id, n, digest, body: bodyOf(request) });
    },

    async commitUpload(request) {
      const { id: uploadId } = request.params;
      const bajas = request.body.bajas && readBajas(request.body.bajas);
      return commitUpload(context, request.tenant, { uploadId, totals: request.body, bajas, agente: agentOf(request) });
    },

    async abandonUpload(request, reply) {
      await database.withTenantConnection(request.tenant.tenantId, (connection) =>
        inTransaction(connection, async () => {
          const upload = await lockUpload(connection, request.tenant.tenantId, request.params.id, 'update');
          if (upload.resultado !== null) throw new SyncError('SUBIDA_CERRADA', 'La subida ya se confirmó.');
          await deleteUpload(connection, upload.id);
        }),
      );
      return reply.code(204).send();
    },
  } satisfies Partial<Handlers>;
};
