import type { ChangesRequest } from '../../../protocol/api.ts';
import { limits } from '../../../protocol/constants.ts';
import type { SyncContext } from '../context.ts';
import { type FramedDownload, readFrame } from './frame.ts';
import { GoesWhole, type Held } from './held.ts';

/**
 * Asks the backend for the rows that differ from what is held. A small table takes one request. Of a large one the first says little and asks
 * which buckets differ, which for an unchanged table is all; the second says more of those alone, so that few rows come beside those that
 * changed.
 */

/** With so few bits all that is held is said at once. */
const AT_ONCE_BITS = 9;
/** By how many bits fewer the first request says it. */
const FOLDED_BITS = 7;

/**
 * `bits`: those of the buckets that the first line names. The caller ends `rows`.
 * @throws {GoesWhole}, and as openDownload does
 */
export async function askChanges(
  { backend, signal }: Pick<SyncContext, 'backend' | 'signal'>,
  table: Pick<ChangesRequest, 'tabla' | 'semilla'>,
  held: Pick<Held, 'state' | 'signatures'>,
): Promise<FramedDownload & { bits: number }> {
  const { consulta } = held.state;
  const ask = async (bits: number, request: Omit<ChangesRequest, 'tabla' | 'semilla'>) => {
    const frame = await readFrame(await backend.openChanges({ ...table, ...request }, signal));
    const cubos = frame.start.huellas?.cubos;
    if (cubos !== undefined) return { ...frame, bits, distintos: Buffer.from(cubos.distintos, 'base64') };
    await frame.rows.return(undefined);
    throw new GoesWhole('La consulta del backend o sus columnas son otras');
  };
  const all = held.signatures;
  if (all.bits <= AT_ONCE_BITS) return ask(all.bits, { libro: { consulta, bits: all.bits, firmas: all.encode() } });
  const bits = all.bits - FOLDED_BITS;
  const libro = { consulta, bits, firmas: all.fold(bits).encode() };
  const first = await ask(bits, { libro, sinFilas: true });
  const different = countBits(first.distintos);
  if (different === 0) return first;
  await first.rows.return(undefined);
  const more = Math.min(all.bits, bits + Math.floor(Math.log2(limits.changesMaxBuckets / different)));
  const firmas = all.fold(more).encode({ cubos: first.distintos, bits });
  const dentro = { cubos: first.distintos.toString('base64'), bits: more, firmas };
  return ask(more, { libro: { ...libro, dentro } });
}

function countBits(bytes: Uint8Array): number {
  let count = 0;
  for (const byte of bytes) for (let left = byte; left !== 0; left &= left - 1) count++;
  return count;
}
