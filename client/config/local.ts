import { constants } from 'node:fs';
import { copyFile, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { EnvelopeError, openEnvelope, sealEnvelope } from '../../protocol/crypto/password-envelope.ts';
import { type ConfigResponse, ConfigResponseSchema } from '../../protocol/tenant-config/config.ts';
import { AgentError, agentError } from '../errors/agent-error.ts';
import { isMissingFile, syncFolder, writeFileAtomically } from '../files/files.ts';
import { assertFormat, type FileStamp, newerFile, stampOf } from '../files/format.ts';
import { SensitivePinSchema } from './sensitive-pins.ts';

/** `sync-config.enc`: what `init` was told, and the last configuration that the backend answered, sealed. */

/** What this machine was told of a SQL Server: each wins over what the backend says. */
const LocalConnectionSchema = Type.Object({
  host: Type.Optional(Type.String()),
  port: Type.Optional(Type.Integer()),
  database: Type.Optional(Type.String()),
  user: Type.Optional(Type.String()),
  password: Type.Optional(Type.String()),
  encrypt: Type.Boolean(),
  trustServerCertificate: Type.Boolean(),
  /** PEM of the authorities that may vouch for SQL Server. */
  ca: Type.Optional(Type.String()),
  /** The name that its certificate has to bear, where that is not `host`. */
  certificateName: Type.Optional(Type.String()),
});

const LocalConfigSchema = Type.Object({
  url: Type.String(),
  tenant: Type.String(),
  key: Type.String(),
  /** While a rotation is under way: the key that will come in the place of `key` (rotation.ts). */
  nextKey: Type.Optional(Type.String()),
  /** The key before `key`, for as long as it may still be needed. */
  previousKey: Type.Optional(Type.String()),
  /** The connection without a name: given at `init`. */
  sqlServer: LocalConnectionSchema,
  /** The others, by name: given by `connection set`. */
  conexiones: Type.Optional(Type.Record(Type.String(), LocalConnectionSchema)),
  /** Of `spool/` (spool/sealed.ts): a new `init` makes a new one, and what waits there is read again. */
  spoolKey: Type.Optional(Type.String()),
  /** PEM of the authorities that may vouch for the backend, instead of the system's. */
  ca: Type.Optional(Type.String()),
  /** Whether a run may speak plain http to a machine other than this one. */
  allowsHttp: Type.Optional(Type.Boolean()),
  /** `init --aprobar-sql`: only SQL in `approvedSql` is run. */
  requiresApproval: Type.Optional(Type.Boolean()),
  /** What a person has approved (sync/approval.ts). */
  approvedSql: Type.Optional(Type.Record(Type.String(), Type.String())),
  /** Of `camposSensibles` (rows/field-encryption.ts): all agents of a tenant have the same one, the server never. */
  dataKey: Type.Optional(Type.String()),
  /** What was encrypted and decrypted so far (sync/sensitive-pins.ts), by table. */
  sensitivePins: Type.Optional(Type.Record(Type.String(), SensitivePinSchema)),
  /** X25519 (protocol/crypto/agent-key.ts). An install folder of an earlier version gets one at its next `sync`. */
  agentKey: Type.Optional(Type.Object({ publica: Type.String(), privada: Type.String() })),
  remote: Type.Optional(Type.Object({ etag: Type.String(), config: ConfigResponseSchema })),
});

export type LocalConnection = Type.Static<typeof LocalConnectionSchema>;
export type LocalConfig = Omit<Type.Static<typeof LocalConfigSchema>, 'remote'> & {
  remote?: { etag: string; config: ConfigResponse };
};

const checker = Compile(LocalConfigSchema);
const FILE_NAME = 'sync-config.enc';
/** Twice a configuration (an answer of the backend has 16 MiB at most), and what else is in it. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;
const FORMAT = 1;

/**
 * Opens `sync-config.enc`.
 * @throws {AgentError} `configuracion`: no file, wrong password, damaged; ARCHIVO_MAS_NUEVO
 */
export async function readLocalConfig(folder: string, password: string): Promise<LocalConfig> {
  const path = join(folder, FILE_NAME);
  let sealed: Buffer;
  try {
    if ((await stat(path)).size > MAX_FILE_BYTES) throw unreadable(path, 'Pasa de 64 MB, y no se abre', undefined);
    sealed = await readFile(path);
  } catch (cause) {
    if (cause instanceof AgentError) throw cause;
    if (!isMissingFile(cause)) throw unreadable(path, 'No se puede leer', cause);
    throw agentError('SIN_INICIALIZAR', { archivo: path });
  }
  const content = open(path, sealed, password);
  let value: unknown;
  try {
    value = JSON.parse(content.toString('utf8'));
  } catch (cause) {
    throw unreadable(path, 'Está dañado', cause);
  }
  assertFormat(path, value, FORMAT);
  if (!checker.Check(value)) throw unreadable(path, 'Está dañado', undefined);
  const { formato: _, agente: __, ...config } = value as LocalConfig & Partial<FileStamp>;
  return config;
}

/** Seals and writes `sync-config.enc`, the whole file or nothing; it is on the disk when this resolves. */
export async function writeLocalConfig(folder: string, password: string, config: LocalConfig): Promise<void> {
  const sealed = sealEnvelope(Buffer.from(JSON.stringify({ ...config, ...stampOf(FORMAT) })), password);
  const path = join(folder, FILE_NAME);
  try {
    await writeFileAtomically(path, sealed);
    await syncFolder(folder);
  } catch (cause) {
    throw agentError('CONFIG_LOCAL_NO_ESCRITA', { archivo: path, motivo: (cause as Error).message }, cause);
  }
}

/**
 * Copies the `sync-config.enc` that is there beside it, under a name that says when, and answers the name; undefined when there
 * is none. Nobody can tell what is in one of another password: a data key, or a newer agent's format.
 */
export async function keepAside(folder: string): Promise<string | undefined> {
  const path = join(folder, FILE_NAME);
  const name = `${FILE_NAME}.${new Date().toISOString().replace(/\D/g, '').slice(0, 17)}.anterior`;
  try {
    await copyFile(path, join(folder, name), constants.COPYFILE_EXCL);
    return name;
  } catch (cause) {
    if (isMissingFile(cause)) return undefined;
    throw agentError(
      'CONFIG_LOCAL_NO_ESCRITA',
      { archivo: join(folder, name), motivo: (cause as Error).message },
      cause,
    );
  }
}

function open(path: string, sealed: Buffer, password: string): Buffer {
  try {
    return openEnvelope(sealed, password);
  } catch (cause) {
    if (!(cause instanceof EnvelopeError) || cause.reason === 'layout') throw unreadable(path, 'Está dañado', cause);
    if (cause.reason === 'newer') throw newerFile(path, FORMAT);
    if (cause.reason === 'cost')
      throw unreadable(path, 'Pide más memoria para abrirse que los del agente, y no se abre', cause);
    throw agentError('CONTRASENA_DISTINTA', { archivo: path }, cause);
  }
}

function unreadable(path: string, what: string, cause: unknown): AgentError {
  return agentError('CONFIG_LOCAL_ILEGIBLE', { que: what, archivo: path }, cause);
}
