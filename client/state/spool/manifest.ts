import { randomUUID } from 'node:crypto';
import { type FileHandle, open, readFile, stat, truncate } from 'node:fs/promises';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { openBytes, sealBytes } from '../../../protocol/crypto/sealed.ts';
import { ColumnaSchema } from '../../../protocol/endpoints/esquemas.ts';
import { ModoSchema } from '../../../protocol/endpoints/fields.ts';
import { newerFile } from '../../files/format.ts';
import { AgentClockSchema } from '../../sqlserver/session/clock.ts';
import { TrackingHeadSchema, VersionBoundsSchema } from '../../sqlserver/session/versions.ts';
import { version } from '../../version.ts';
import { deriveEntryKey } from './spool-key.ts';

/**
 * `manifiesto`: what is known of one upload, a record a line, only ever appended to and fsynced. The first line is plain
 * and names the entry, its format (`version`, of the chunks beside it too) and the agent that began it, in any format; each
 * other one is sealed under the entry's key together with its line number.
 *
 * A line that was cut off (power, SIGKILL) did not happen. Anything else that does not open makes the manifest damaged.
 */
const FORMAT = 2;
/** Those without `unica`. */
const FIRST_FORMAT = 1;
/** Some 300,000 chunks: beyond it, it is not ours. */
const MAX_BYTES = 128 * 1024 * 1024;

const Count = Type.Integer({ minimum: 0 });
const Clock = Type.Object({ local: Type.String(), utc: Type.String() });

/** A ledger of `huellas`, and how far it reaches (state/ledger). */
const LedgerSchema = Type.Object({ id: Type.String(), pares: Count, bytes: Count });

/** What a reading against a ledger came to; as of ComparisonResult. */
const LedgerResultSchema = Type.Object({
  leidas: Count,
  nuevo: Type.Optional(LedgerSchema),
  bajas: Type.Optional(Type.Object({ semilla: Type.String(), huellas: Type.String(), leidas: Count })),
});

/** What an upload was read with: it decides whether a later run may go on with it. */
export const UploadHeadSchema = Type.Object({
  tabla: Type.String(),
  modo: ModoSchema,
  /** fingerprintOf the table and its endpoints. */
  huella: Type.String(),
  /** The mark, once it is committed: SQL Server's clock before the reading, or earlier (sync/upload/reading.ts). */
  reloj: Clock,
  /** All clocks before the reading; agents of before did not say. */
  leido: Type.Optional(Type.Object({ ...Clock.properties, agente: AgentClockSchema })),
  /** An incremental table that is read from the beginning. */
  entera: Type.Optional(Type.Boolean()),
  /** As of ReadingPlan. */
  revuelto: Type.Optional(Type.String()),
  retroceso: Type.Optional(Type.Union([Type.Number(), Type.Null()])),
  retenida: Type.Optional(Type.String()),
  /** What `@ultimaSync` was bound to. */
  ultimaSync: Type.Union([Type.String(), Type.Null()]),
  /** The mark that it was read from. */
  desde: Type.Union([Clock, Type.Null()]),
  /** The generation of that mark (protocol/api.ts). */
  base: Type.Optional(Type.String()),
  /** SQL Server's UTC clock before the reading; of manifests without it, that of `reloj`. */
  lectura: Type.Optional(Type.String()),
  /** SQL Server's clock went back before this reading. */
  relojAtrasado: Type.Optional(Type.Boolean()),
  /** `cambios: "huellas"`: `contra` is the ledger that rows are compared with; without it every row goes. */
  huellas: Type.Optional(Type.Object({ contra: Type.Optional(LedgerSchema) })),
  /** `cambios: "rowversion"`: the bounds of the reading, and since when the upper one stands still. */
  versiones: Type.Optional(VersionBoundsSchema),
  quieta: Type.Optional(Type.String()),
  /** `cambios: "seguimiento"`. */
  seguimiento: Type.Optional(TrackingHeadSchema),
  /** The columns that its rows have; agents of before did not say. */
  esquema: Type.Optional(Type.Object({ huella: Type.String(), columnas: Type.Array(ColumnaSchema) })),
  /** The column of `particion`. */
  particion: Type.Union([Type.String(), Type.Null()]),
});

const ChunkSchema = Type.Object({
  n: Count,
  /** SHA-256 of the gzip member, base64. */
  digest: Type.String(),
  filas: Count,
  /** Of the gzip member. */
  bytes: Count,
});

const RecordSchema = Type.Union([
  Type.Object({ tipo: Type.Literal('inicio'), subida: UploadHeadSchema }),
  Type.Object({ tipo: Type.Literal('trozo'), trozo: ChunkSchema }),
  /** The chunks before `trozos` hold whole ranges, the last of which ends with the key `ultima`. */
  Type.Object({
    tipo: Type.Literal('rango'),
    ultima: Type.String(),
    trozos: Count,
    sustituidos: Count,
    /** How far the next ledger had come; without an id it is as the old one. */
    huellas: Type.Optional(LedgerSchema),
  }),
  /** Under which id the backend has it; null: none any more. */
  Type.Object({ tipo: Type.Literal('id'), id: Type.Union([Type.String(), Type.Null()]) }),
  /** Its only chunk goes in one request, under this Idempotency-Key. */
  Type.Object({ tipo: Type.Literal('unica'), clave: Type.String() }),
  Type.Object({ tipo: Type.Literal('completa'), sustituidos: Count, huellas: Type.Optional(LedgerResultSchema) }),
]);

export type UploadHead = Type.Static<typeof UploadHeadSchema>;
export type ChunkInfo = Type.Static<typeof ChunkSchema>;
export type ManifestRecord = Type.Static<typeof RecordSchema>;

const checker = Compile(RecordSchema);

export class Manifest {
  readonly id: string;
  readonly key: Buffer;
  readonly #file: FileHandle;
  #lines: number;
  #tail: Promise<unknown> = Promise.resolve();

  private constructor(file: FileHandle, id: string, key: Buffer, lines: number) {
    this.#file = file;
    this.id = id;
    this.key = key;
    this.#lines = lines;
  }

  /** Makes the file, with these records; it is on disk when this resolves. Throws what the disk says. */
  static async create(path: string, spoolKey: string, ...records: ManifestRecord[]): Promise<Manifest> {
    const id = randomUUID();
    const key = deriveEntryKey(spoolKey, id);
    const file = await open(path, 'wx', 0o600);
    try {
      const lines = records.map((record, index) => sealRecord(key, associatedDataOf(id, index + 1), record));
      await file.writeFile(`${JSON.stringify({ version: FORMAT, id, agente: version })}\n${lines.join('')}`);
      await file.sync();
    } catch (error) {
      await file.close();
      throw error;
    }
    return new Manifest(file, id, key, records.length + 1);
  }

  /** Reads the file to go on with it; undefined when it is damaged or another key's. Throws ARCHIVO_MAS_NUEVO. */
  static async open(
    path: string,
    spoolKey: string,
  ): Promise<{ manifest: Manifest; records: ManifestRecord[] } | undefined> {
    const found = await readManifest(path, spoolKey);
    if (found === undefined) return undefined;
    const { id, key, records, validBytes, bytes } = found;
    if (validBytes < bytes) await truncate(path, validBytes);
    return { manifest: new Manifest(await open(path, 'a', 0o600), id, key, records.length + 1), records };
  }

  /** Appends records; they are on disk when this resolves. Calls may overlap, their order is kept. */
  append(...records: ManifestRecord[]): Promise<void> {
    const lines = records.map((record) => sealRecord(this.key, associatedDataOf(this.id, this.#lines++), record));
    const written = this.#tail.then(async () => {
      await this.#file.appendFile(lines.join(''));
      await this.#file.datasync();
    });
    this.#tail = written.catch(() => {});
    return written;
  }

  async close(): Promise<void> {
    await this.#tail;
    await this.#file.close();
  }
}

/**
 * Returns what a manifest says; undefined as of Manifest.open. Nothing is changed: another process may be writing it.
 */
export async function readManifest(
  path: string,
  spoolKey: string,
): Promise<{ id: string; key: Buffer; records: ManifestRecord[]; validBytes: number; bytes: number } | undefined> {
  if ((await stat(path)).size > MAX_BYTES) return undefined;
  const bytes = await readFile(path);
  // What follows the last line end was being written when everything stopped.
  const validBytes = bytes.lastIndexOf('\n') + 1;
  const [first, ...sealed] = bytes.subarray(0, validBytes).toString('latin1').split('\n').slice(0, -1);
  const head = parse(first ?? '') as { version?: unknown; id?: unknown; agente?: unknown } | undefined;
  if (typeof head?.version === 'number' && head.version > FORMAT) {
    throw newerFile(path, FORMAT, { formato: head.version, agente: head.agente });
  }
  if (head?.version !== FORMAT && head?.version !== FIRST_FORMAT) return undefined;
  if (typeof head.id !== 'string') return undefined;
  const { id } = head;
  const key = deriveEntryKey(spoolKey, id);
  const records: ManifestRecord[] = [];
  for (const [index, line] of sealed.entries()) {
    const plain = openBytes(key, associatedDataOf(id, index + 1), Buffer.from(line, 'base64'));
    const record = plain && parse(Buffer.from(plain).toString('utf8'));
    if (!checker.Check(record)) return undefined;
    records.push(record);
  }
  return { id, key, records, validBytes, bytes: bytes.length };
}

function sealRecord(key: Buffer, associatedData: string, record: ManifestRecord): string {
  return `${sealBytes(key, associatedData, Buffer.from(JSON.stringify(record))).toString('base64')}\n`;
}

function associatedDataOf(id: string, line: number): string {
  return `${id}/manifiesto/${line}`;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
