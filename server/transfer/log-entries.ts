import type { LogEntry } from '../../protocol/api.ts';
import type { Direccion, EjecutarEn } from '../../protocol/tenant-config/config.ts';
import type { Configuration } from '../tenants/configurations.ts';

/** Entries of sync_logs for what the server does itself. */

/** Which side PostgreSQL is. */
export const sideOf: Record<Direccion, EjecutarEn> = { upload: 'destino', download: 'origen' };

/** Returns a successful entry for what ran at PostgreSQL from `started` until now. */
export function logEntry(
  direccion: Direccion,
  tabla: string,
  fase: 'pre_process' | 'process' | 'post_process',
  started: Date,
  fields: Pick<LogEntry, 'registrosAfectados' | 'mensaje' | 'metadatos'>,
): LogEntry {
  const ended = new Date();
  return {
    direccion,
    tabla,
    fase,
    ejecutadoEn: sideOf[direccion],
    estado: 'exitoso',
    ...fields,
    duracionMs: ended.getTime() - started.getTime(),
    fechaInicio: started.toISOString(),
    fechaFin: ended.toISOString(),
  };
}

/** Returns whom a log entry belongs to. */
export function logOwner({ tenantId, id }: Configuration): { tenantId: string; configId: string } {
  return { tenantId, configId: id };
}
