import type { Readable } from 'node:stream';
import { SyncError } from '../../../protocol/errors.ts';

/** Minimum average rate of a body, beside its idle timeout. */
const SLOWEST_BYTES_PER_SECOND = 1024;

/**
 * Reads a request's body. The request itself is not destroyed when the reader stops early: it still has to carry the
 * answer.
 * @throws {SyncError} CUERPO_CORTADO: the peer sends nothing for `idleMs` (idle timeout), is slower than the minimum
 * rate beyond that, or goes.
 */
export async function* readBody(body: Readable, idleMs: number): AsyncGenerator<Buffer> {
  const iterator = body.iterator({ destroyOnReturn: false })[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let timer: NodeJS.Timeout | undefined;
  let waitedMs = 0;
  let total = 0;
  try {
    while (true) {
      const asked = performance.now();
      const idle = new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => reject(cutShort(`no llegó ningún byte en ${Math.ceil(idleMs / 1000)} s`)), idleMs);
      });
      const next = await Promise.race([iterator.next(), idle]).catch((error: unknown) => {
        throw error instanceof SyncError ? error : cutShort('se perdió la conexión', error);
      });
      clearTimeout(timer);
      if (next.done === true) return;
      waitedMs += performance.now() - asked;
      total += next.value.length;
      if (waitedMs > idleMs + (total / SLOWEST_BYTES_PER_SECOND) * 1000) {
        throw cutShort(`llegaron ${total} bytes en ${Math.ceil(waitedMs / 1000)} s`);
      }
      yield next.value;
    }
  } finally {
    clearTimeout(timer);
    // Not awaited: where the peer is silent the pending step ends with the connection.
    iterator.return?.().catch(() => {});
  }
}

function cutShort(reason: string, cause?: unknown): SyncError {
  return new SyncError('CUERPO_CORTADO', `El cuerpo no llegó entero: ${reason}.`, { cause });
}
