import { Type } from '@fastify/type-provider-typebox';
import { limits } from '../../protocol/constants.ts';

export const TenantParams = Type.Object({ tenantId: Type.String({ minLength: 1, maxLength: limits.tenantMaxLength }) });

export const UploadParams = Type.Object({ ...TenantParams.properties, id: Type.String({ pattern: '^[0-9a-f]{32}$' }) });

export const ChunkParams = Type.Object({
  ...UploadParams.properties,
  // A number would be made of "1.5", "0x1" and "1e3" too.
  n: Type.String({ pattern: '^(0|[1-9][0-9]{0,5})$' }),
});
