import { SyncError } from '../../../protocol/errors.ts';
import type { Bytes } from './stage.ts';

/**
 * Passes at most `maxBytes` on. `what` names what is measured.
 * @throws {SyncError} DEMASIADO_GRANDE
 */
export function limitBytes(maxBytes: number, what: string) {
  return async function* (source: Bytes): AsyncGenerator<Buffer> {
    let total = 0;
    for await (const bytes of source) {
      total += bytes.length;
      if (total > maxBytes) throw new SyncError('DEMASIADO_GRANDE', `${what} pasa de ${maxBytes} bytes.`);
      yield bytes;
    }
  };
}

/** Maximum growth. Rows that are all alike shrink to a hundredth; only what was made for it, to a thousandth. */
const RATIO_MAX = 250;
/** Bytes up to which any growth is allowed. */
const RATIO_FREE_BYTES = 16 * 1024 * 1024;

/**
 * Bounds how much `inflate` makes its input grow. The bound on the bytes is another stage's (`limitBytes`); a small
 * request meets this one long before it.
 * @throws {SyncError} DEMASIADO_GRANDE
 */
export function limitRatio(inflate: (source: Bytes) => AsyncIterable<Buffer>) {
  return async function* (source: Bytes): AsyncGenerator<Buffer> {
    let before = 0;
    let after = 0;
    async function* count(): AsyncGenerator<Buffer> {
      for await (const bytes of source) {
        before += bytes.length;
        yield bytes;
      }
    }
    for await (const bytes of inflate(count())) {
      after += bytes.length;
      if (after > RATIO_FREE_BYTES && after > before * RATIO_MAX) {
        throw new SyncError('DEMASIADO_GRANDE', `El cuerpo crece más de ${RATIO_MAX} veces al descomprimirlo.`);
      }
      yield bytes;
    }
  };
}
