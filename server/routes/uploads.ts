import {
  CommitSchema,
  type OpenUploadResponse,
  OpenUploadSchema,
  type UploadResult,
  type UploadStateResponse,
} from '../../protocol/api.ts';
import { API_PREFIX, limits, paths } from '../../protocol/constants.ts';
import { SyncError } from '../../protocol/errors.ts';
import { inTransaction } from '../postgres/pool.ts';
import { createUpload, deleteUpload, findChunks, lockUpload } from '../rows/uploads.ts';
import { findUploadTable } from '../tenants/configurations.ts';
import { commitUpload, receiveChunk } from '../transfer/upload.ts';
import { agentOf, bodyOf, digestOfRequest, jsonBody, mediaTypeOf, streamedBodies } from './bodies.ts';
import { ChunkParams, TenantParams, UploadParams } from './params.ts';
import type { Routes } from './routes.ts';

/** /uploads/:tenantId: an upload in chunks that survives whatever happens between two of them. */
export const uploadsRoutes: Routes = async (app, context) => {
  const { config, database } = context;

  app.post(
    '/uploads/:tenantId',
    { schema: { tags: ['subida'], params: TenantParams, body: OpenUploadSchema }, ...jsonBody(config) },
    async (request, reply): Promise<OpenUploadResponse> => {
      const { tenant } = request;
      const table = findUploadTable(tenant, request.body.tabla);
      const upload = await database.withTenantConnection(tenant.tenantId, (connection) =>
        createUpload(connection, tenant.tenantId, table, request.body, {
          openMax: config.UPLOADS_OPEN_MAX,
          expireHours: config.UPLOAD_EXPIRE_HOURS,
        }),
      );
      reply.code(201).header('location', `${API_PREFIX}${paths.uploadById(tenant.tenantId, upload.id)}`);
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
  );

  app.get(
    '/uploads/:tenantId/:id',
    { schema: { tags: ['subida'], params: UploadParams } },
    async (request): Promise<UploadStateResponse> =>
      database.withTenantConnection(request.tenant.tenantId, async (connection) => {
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
      }),
  );

  app.post(
    '/uploads/:tenantId/:id/commit',
    { schema: { tags: ['subida'], params: UploadParams, body: CommitSchema }, ...jsonBody(config) },
    async (request): Promise<UploadResult> =>
      commitUpload(context, request.tenant, request.params.id, request.body, agentOf(request)),
  );

  app.delete(
    '/uploads/:tenantId/:id',
    { schema: { tags: ['subida'], params: UploadParams } },
    async (request, reply) => {
      await database.withTenantConnection(request.tenant.tenantId, (connection) =>
        inTransaction(connection, async () => {
          const upload = await lockUpload(connection, request.tenant.tenantId, request.params.id, 'update');
          if (upload.resultado !== null) throw new SyncError('SUBIDA_CERRADA', 'La subida ya se confirmó.');
          await deleteUpload(connection, upload.id);
        }),
      );
      return reply.code(204).send();
    },
  );

  await app.register(async (chunks) => {
    await chunks.register(streamedBodies);
    chunks.put(
      '/uploads/:tenantId/:id/chunks/:n',
      { schema: { tags: ['subida'], params: ChunkParams } },
      async (request) => {
        const params = request.params as { id: string; n: string };
        const { id } = params;
        const n = Number(params.n);
        if (n > limits.chunksMaxCount) {
          throw new SyncError('CUERPO_INVALIDO', `El trozo ${n} pasa de ${limits.chunksMaxCount}.`, { campo: 'n' });
        }
        if (mediaTypeOf(request) === 'application/json') {
          throw new SyncError('TIPO_NO_ADMITIDO', 'Un trozo es NDJSON comprimido con gzip.', { trozo: n });
        }
        const digest = digestOfRequest(request);
        if (digest === undefined) {
          throw new SyncError('CUERPO_INVALIDO', 'Falta Content-Digest.', { campo: 'Content-Digest', trozo: n });
        }
        return receiveChunk(context, request.tenant, id, n, digest, bodyOf(request));
      },
    );
  });
};
