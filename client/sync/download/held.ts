import { createHash } from 'node:crypto';
import { limits } from '../../../protocol/constants.ts';
import type { TablaBajada } from '../../../protocol/tenant-config/config.ts';
import { sensitiveColumnsOf } from '../../rows/field-encryption.ts';
import { quoteTable, type SqlServer } from '../../sqlserver/sql-server.ts';
import { type HeldDownload, heldDownloads } from '../../state/download-ledgers.ts';
import { LedgerDamaged, type LedgerReader } from '../../state/ledger/ledger-file.ts';
import type { SyncContext } from '../context.ts';
import { Signatures } from './signatures.ts';
import { TargetSum, type Totals } from './target-sum.ts';

/** What the agent knows of a download's target, as far as it is to be believed (protocol/SPEC.md, D10). */

/** Rows that a bucket has on the average. */
const BUCKET_ROWS = 8;

/** The ledger of a download table, by the name that `Ledgers` has for it. */
export const ledgerOf = (tabla: string): string => `download/${tabla}`;

/** What is held is not to be believed, or not enough: the table comes down whole. The message says why, in Spanish. */
export class GoesWhole extends Error {
  override readonly name = 'GoesWhole';
}

export interface Held {
  state: HeldDownload;
  reader: LedgerReader;
  signatures: Signatures;
}

type Fingerprinted = Pick<SyncContext, 'dataKey' | 'endpoints' | 'servidor'>;

/** Returns the fingerprint of everything beside the backend's query that the target's rows depend on. */
export function fingerprintOf(context: Fingerprinted, tabla: TablaBajada): string {
  const { guarda: _, verificar: __, ...rest } = tabla;
  const keyId = sensitiveColumnsOf(tabla, context.dataKey)?.keyId ?? null;
  const parts = JSON.stringify([rest, context.endpoints, context.servidor, keyId]);
  return createHash('sha256').update(parts).digest('base64url').slice(0, 22);
}

/** Returns what the target held after the last download. */
export function totalsOf({ filas, suma }: HeldDownload): Totals {
  const [una, otra] = suma?.valores.split(' ').map(BigInt) ?? [];
  return { filas, sumas: una === undefined || otra === undefined ? undefined : [una, otra] };
}

/**
 * Opens what is held of a table, which the caller closes.
 * @throws {GoesWhole}, SqlServerError, ARCHIVO_MAS_NUEVO
 */
export async function openHeld(context: SyncContext, db: SqlServer, tabla: TablaBajada): Promise<Held> {
  const state = (await heldDownloads.read(context.folder))[tabla.nombre];
  if (state === undefined) throw new GoesWhole('No se sabe qué tiene el destino');
  if (state.huella !== fingerprintOf(context, tabla)) throw new GoesWhole('La tabla se configuró de otra manera');
  await assertTarget(db, tabla, state, context.signal);
  const reader = await context.ledgers.find(ledgerOf(tabla.nombre), state.libro);
  if (reader === undefined) throw damaged();
  try {
    return { state, reader, signatures: Signatures.read(reader, chooseBits(state.libro.pares)) };
  } catch (error) {
    await reader.close();
    throw error instanceof LedgerDamaged ? damaged() : error;
  }
}

export function damaged(): GoesWhole {
  return new GoesWhole('El libro de huellas falta o está dañado');
}

/** @throws {GoesWhole} where the target is not what it was after the last download */
async function assertTarget(
  db: SqlServer,
  { nombre }: TablaBajada,
  state: HeldDownload,
  signal: AbortSignal,
): Promise<void> {
  const parameters = [{ name: 'nombre', type: 'nvarchar' as const, value: quoteTable(nombre) }];
  const [found] = await db.query('SELECT OBJECT_ID(@nombre) AS id', { parameters, signal });
  if (found?.id === null || found?.id === undefined) throw new GoesWhole('El destino no existe');
  const known = state.suma?.columnas ?? [];
  const target = known.length === 0 ? undefined : await db.describeTable(nombre, signal);
  const sum = await TargetSum.open(db, nombre, known, target, signal);
  if (sum.columns.length !== known.length) throw new GoesWhole('No se puede comprobar el destino como la última vez');
  const { filas, sumas } = await sum.read();
  if (filas !== state.filas) throw new GoesWhole(`El destino tenía ${state.filas} filas y ahora tiene ${filas}`);
  if (sumas?.join(' ') !== state.suma?.valores) throw new GoesWhole('El destino ya no tiene lo que se descargó');
}

function chooseBits(rows: number): number {
  return Math.min(limits.changesMaxBits, Math.max(0, Math.ceil(Math.log2(Math.max(1, rows / BUCKET_ROWS)))));
}
