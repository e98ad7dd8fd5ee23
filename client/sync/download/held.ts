import { createHash } from 'node:crypto';
import type { ChangesRequest } from '../../../protocol/api.ts';
import { limits } from '../../../protocol/constants.ts';
import type { TablaBajada } from '../../../protocol/tenant-config/config.ts';
import { sensitiveColumnsOf } from '../../rows/field-encryption.ts';
import { quoteTable, type SqlServer } from '../../sqlserver/sql-server.ts';
import { type HeldDownload, heldDownloads } from '../../state/download-ledgers.ts';
import { LedgerDamaged, type LedgerReader, PAIR_WORDS } from '../../state/ledger/ledger-file.ts';
import type { SyncContext } from '../context.ts';

/** What the agent knows of a download's target, as far as it is to be believed (protocol/SPEC.md, D10). */

/** Rows that a bucket has on the average. */
const BUCKET_ROWS = 64;

/** The ledger of a download table, by the name that `Ledgers` has for it. */
export const ledgerOf = (tabla: string): string => `download/${tabla}`;

/** What is held is not to be believed, or not enough: the table comes down whole. The message says why, in Spanish. */
export class GoesWhole extends Error {
  override readonly name = 'GoesWhole';
}

export interface Held {
  state: HeldDownload;
  reader: LedgerReader;
  /** What the backend is told of it. */
  libro: NonNullable<ChangesRequest['libro']>;
}

/** Of everything beside the backend's query that the target's rows depend on. */
export function fingerprintOf(context: SyncContext, tabla: TablaBajada): string {
  const { guarda: _, ...rest } = tabla;
  const keyId = sensitiveColumnsOf(tabla, context.dataKey)?.keyId ?? null;
  const parts = JSON.stringify([rest, context.endpoints, context.servidor, keyId]);
  return createHash('sha256').update(parts).digest('base64url').slice(0, 22);
}

/** Opens what is held of a table, which the caller closes. Throws GoesWhole, SqlServerError, ARCHIVO_MAS_NUEVO. */
export async function openHeld(context: SyncContext, db: SqlServer, tabla: TablaBajada): Promise<Held> {
  const state = (await heldDownloads.read(context.folder))[tabla.nombre];
  if (state === undefined) throw new GoesWhole('No se sabe qué tiene el destino');
  if (state.huella !== fingerprintOf(context, tabla)) throw new GoesWhole('La tabla se configuró de otra manera');
  const rows = await countTarget(db, tabla, context.signal);
  if (rows === undefined) throw new GoesWhole('El destino no existe');
  if (rows !== state.filas) throw new GoesWhole(`El destino tenía ${state.filas} filas y ahora tiene ${rows}`);
  const reader = await context.ledgers.find(ledgerOf(tabla.nombre), state.libro);
  if (reader === undefined) throw damaged();
  try {
    const bits = chooseBits(state.libro.pares);
    return { state, reader, libro: { consulta: state.consulta, bits, firmas: await signaturesOf(reader, bits) } };
  } catch (error) {
    await reader.close();
    throw error instanceof LedgerDamaged ? damaged() : error;
  }
}

export function damaged(): GoesWhole {
  return new GoesWhole('El libro de huellas falta o está dañado');
}

/** Undefined where the target does not exist. */
export async function countTarget(
  db: SqlServer,
  { nombre }: Pick<TablaBajada, 'nombre'>,
  signal: AbortSignal,
): Promise<number | undefined> {
  const table = quoteTable(nombre);
  const parameters = [{ name: 'nombre', type: 'nvarchar' as const, value: table }];
  const [found] = await db.query('SELECT OBJECT_ID(@nombre) AS id', { parameters, signal });
  if (found?.id === null || found?.id === undefined) return undefined;
  const [row] = await db.query(`SELECT COUNT_BIG(*) AS n FROM ${table}`, { signal, isLong: true });
  return Number(row?.n);
}

function chooseBits(rows: number): number {
  return Math.min(limits.changesMaxBits, Math.max(0, Math.ceil(Math.log2(Math.max(1, rows / BUCKET_ROWS)))));
}

/** The bucket of a key's hash: its leading bits. */
export function bucketOf(keyHigh: number, bits: number): number {
  return bits === 0 ? 0 : keyHigh >>> (32 - bits);
}

/** Of each bucket the hashes of its rows and their number, one XOR the other. Throws LedgerDamaged. */
async function signaturesOf(reader: LedgerReader, bits: number): Promise<string> {
  const words = new Uint32Array(2 * 2 ** bits);
  const counts = new Uint32Array(2 ** bits);
  for await (const block of reader.blocks()) {
    for (let at = 0; at < block.length; at += PAIR_WORDS) {
      const bucket = bucketOf(block[at]!, bits);
      words[2 * bucket]! ^= block[at + 2]!;
      words[2 * bucket + 1]! ^= block[at + 3]!;
      counts[bucket]! += 1;
    }
  }
  const bytes = Buffer.alloc(words.length * 4);
  for (const [index, word] of words.entries()) {
    const count = index % 2 === 0 ? 0 : counts[index >> 1]!;
    bytes.writeUInt32BE((word ^ count) >>> 0, index * 4);
  }
  return bytes.toString('base64');
}
