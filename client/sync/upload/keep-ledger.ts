import type { UploadResult } from '../../../protocol/api.ts';
import type { ComparisonResult, Gone } from '../../state/ledger/comparison-result.ts';
import { PAIR_WORDS } from '../../state/ledger/ledger-file.ts';
import type { LedgerName, Ledgers } from '../../state/ledger/ledgers.ts';
import type { UploadHead } from '../../state/spool/manifest.ts';

/** What is known of an upload that has been committed. */
interface Committed {
  head: Pick<UploadHead, 'tabla' | 'huellas'>;
  huellas: ComparisonResult | undefined;
  /** Undefined: nothing was sent. */
  result: UploadResult | undefined;
}

/**
 * Puts the ledger of an upload in its place, once the backend has applied it, and answers which one the mark is to name; undefined:
 * none, and the next run sends the table whole.
 *
 * Bajas that wait for an administrator are asked for again by the next run, so their keys stay in the ledger. A whole upload does not
 * know which keys those are: while they wait there is no ledger.
 */
export async function keepLedger(
  ledgers: Ledgers,
  { head, huellas, result }: Committed,
): Promise<LedgerName | undefined> {
  if (head.huellas === undefined || huellas === undefined) return undefined;
  const { contra } = head.huellas;
  const { bajas, nuevo } = huellas;
  const isRetained = (result?.bajasRetenidas ?? 0) > 0;
  const isNews = contra === undefined || bajas !== undefined || (result?.filas ?? 0) > 0;
  if (!isNews) return contra;
  if (nuevo === undefined || (contra === undefined && isRetained)) return undefined;
  const named = bajas !== undefined && isRetained ? await appendGone(ledgers, head.tabla, nuevo, bajas) : nuevo;
  return named !== undefined && (await ledgers.adopt(head.tabla, named.id)) ? named : undefined;
}

/** Adds the keys to the ledger that has not been adopted yet: the same again, where an earlier run did so and ended before that. */
async function appendGone(
  ledgers: Ledgers,
  tabla: string,
  nuevo: LedgerName,
  { huellas }: Gone,
): Promise<LedgerName | undefined> {
  const writer = await ledgers.resume(tabla, nuevo);
  if (writer === undefined) return undefined;
  try {
    const hashes = Buffer.from(huellas, 'base64');
    const words = new Uint32Array((hashes.length / 8) * PAIR_WORDS);
    for (let at = 0; at < hashes.length; at += 8) {
      words[(at / 8) * PAIR_WORDS] = hashes.readUInt32BE(at);
      words[(at / 8) * PAIR_WORDS + 1] = hashes.readUInt32BE(at + 4);
    }
    await writer.add(words, words.length / PAIR_WORDS);
    return { id: writer.id, ...(await writer.flush()) };
  } finally {
    await writer.close();
  }
}
