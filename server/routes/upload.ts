import { headers, mediaTypes } from '../../protocol/constants.ts';
import { SyncError } from '../../protocol/errors.ts';
import type { Context } from '../context.ts';
import { assertNamesBase } from '../rows/ledgers.ts';
import { findUploadTable } from '../tenants/configurations.ts';
import { receiveOneShot } from '../transfer/upload.ts';
import { agentOf, bodyOf, digestOfRequest, isGzip, mediaTypeOf } from './bodies.ts';
import type { Handlers } from './register.ts';

const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,200}$/;

/** A whole upload in one request, as the specification's envelope or as NDJSON. */
export const uploadHandlers = (context: Context) =>
  ({
    async uploadOnce(request) {
      const { tenant, query } = request;
      const { base, lectura, relojAtrasado, huellas, esquema } = query;
      // A partial upload must never deactivate what it does not hold, so whole ones say so.
      const modo = query.modo ?? 'incremental';
      const reading = { base, lectura, relojAtrasado, huellas };
      assertNamesBase(reading, modo);
      const body = bodyOf(request);
      const format = mediaTypeOf(request) === mediaTypes.json ? 'envelope' : 'ndjson';
      if (format === 'ndjson' && query.tabla === undefined) {
        throw new SyncError('CUERPO_INVALIDO', 'Falta ?tabla= en la dirección.', { campo: 'tabla' });
      }
      const tabla = format === 'ndjson' ? findUploadTable(tenant, query.tabla!) : undefined;
      const key = request.headers[headers.idempotencyKey];
      if (key !== undefined && !IDEMPOTENCY_KEY.test(String(key))) {
        const detail = 'Idempotency-Key debe tener de 1 a 200 caracteres ASCII sin blancos.';
        throw new SyncError('CUERPO_INVALIDO', detail, { campo: 'Idempotency-Key' });
      }
      const { result, tablaNombrada } = await receiveOneShot(context, tenant, {
        body,
        format,
        gzip: isGzip(request),
        tabla,
        modo,
        digest: digestOfRequest(request),
        idempotencyKey: key === undefined ? undefined : String(key),
        reading,
        agente: agentOf(request),
        esquema,
      });
      if (format === 'ndjson') return result;
      const { registrosInsertados, registrosActualizados, registrosSinCambios, timestamp } = result;
      return {
        success: true,
        tabla: tablaNombrada,
        registrosInsertados: registrosInsertados + registrosActualizados + registrosSinCambios,
        timestamp,
      };
    },
  }) satisfies Partial<Handlers>;
