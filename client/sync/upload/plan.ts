import { cambiosOf, type TablaSubida } from '../../../protocol/tenant-config/config.ts';
import type { LedgerName } from '../../state/ledger/ledgers.ts';
import type { SpooledUpload } from '../../state/spool/spooled-upload.ts';
import { type Fingerprints, isMadeWith, type Watermark } from '../../state/watermarks.ts';
import { modoOf } from './reading.ts';

/** What a decision looks at of what an earlier run left in the spool. */
export type PendingUpload = Pick<SpooledUpload, 'head' | 'complete' | 'lastKey' | 'lastLedger'>;

/** How an upload goes about it. */
export type UploadPlan<Pending extends PendingUpload = SpooledUpload> =
  /** From the start. `useless`: what the spool holds, which is removed first, and why. */
  | { kind: 'fresh'; useless?: { pending: Pending; reason: string } }
  /** The reading broke off: it goes on behind the last whole range, which ends with that key. */
  | { kind: 'continue'; pending: Pending; from: { key: string; ledger: LedgerName | undefined } }
  /** All rows are in the spool, and SQL Server need not be read. */
  | { kind: 'deliverOnly'; pending: Pending };

/** Decides from what the spool holds of a table and from its mark (both undefined where there is none). */
export function planUpload<Pending extends PendingUpload>(
  tabla: TablaSubida,
  fingerprints: Fingerprints,
  { pending, mark }: { pending: Pending | undefined; mark: Watermark | undefined },
): UploadPlan<Pending> {
  if (pending === undefined) return { kind: 'fresh' };
  const useless = (reason: string) => ({ kind: 'fresh', useless: { pending, reason } }) as const;
  const { head, complete, lastKey, lastLedger } = pending;
  if (!isMadeWith(head.huella, fingerprints) || head.modo !== modoOf(tabla, head.entera === true)) {
    return useless('la configuración cambió');
  }
  if ((head.huellas !== undefined) !== (cambiosOf(tabla) === 'huellas')) return useless('la configuración cambió');
  // Somebody removed or moved the mark since; or this very upload set it, and its end was lost.
  const local = mark?.local ?? null;
  if (local !== (head.desde?.local ?? null) && local !== head.reloj.local) return useless('la marca es otra');
  if (complete) return { kind: 'deliverOnly', pending };
  if (lastKey === undefined || head.particion !== (tabla.particion?.columna ?? null)) {
    return useless('la lectura no terminó');
  }
  return { kind: 'continue', pending, from: { key: lastKey, ledger: lastLedger } };
}
