import { addAbortListener } from 'node:events';
import { defined } from '../../../protocol/defined.ts';
import type { Backend, UploadDescription } from '../../http/backend.ts';
import type { UploadHead } from '../../state/spool/manifest.ts';

/** How an upload begins to exist at the backend, and how it ceases to. */

const ABANDON_MS = 5000;

/** What an upload is to the backend. */
export type UploadKind = Pick<UploadHead, 'tabla' | 'modo' | 'base' | 'lectura' | 'relojAtrasado' | 'huellas'> & {
  /** It was opened with `relojAtrasado`, which no longer holds: unless it is committed, it is opened anew. */
  reopen?: boolean;
};

/**
 * Returns what an upload that was begun before is now. That SQL Server's clock was behind excused it from being older
 * than what had been applied by then; what has been applied since may be newer, and is compared.
 */
export function asBegunBefore({ relojAtrasado, ...head }: UploadHead): UploadKind {
  return { ...head, ...(relojAtrasado === true ? { reopen: true } : {}) };
}

/** Returns what the backend is told of an upload. */
export function toldOf({ tabla, modo, base, lectura, relojAtrasado, huellas }: UploadKind): UploadDescription {
  return {
    ...{ tabla, modo },
    ...defined({ base }),
    // SQL Server tells its UTC clock without a zone.
    ...(lectura === undefined ? {} : { lectura: `${lectura}Z` }),
    ...defined({ relojAtrasado }),
    ...(huellas?.contra === undefined ? {} : { huellas: true }),
  };
}

/**
 * Opens an upload. Aborted meanwhile, it still waits a little for the answer: a request that comes after the one that
 * abandons the upload would leave it open. Throws the signal's reason.
 */
export async function openToTheEnd(
  backend: Backend,
  upload: UploadDescription & { id: string },
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const late = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  using _ = addAbortListener(signal, () => {
    timer = setTimeout(() => late.abort(signal.reason), ABANDON_MS);
  });
  try {
    await backend.openUpload(upload, late.signal);
  } finally {
    clearTimeout(timer);
  }
  signal.throwIfAborted();
}

/** Tells the backend to forget an upload. Best effort: it forgets by itself in the end. */
export async function abandon(backend: Backend, id: string): Promise<void> {
  await backend.abandonUpload(id, AbortSignal.timeout(ABANDON_MS)).catch(() => {});
}
