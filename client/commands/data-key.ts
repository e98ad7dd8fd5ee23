import { readFile, stat } from 'node:fs/promises';
import { EnvelopeError, openEnvelope, sealEnvelope } from '../../protocol/crypto/password-envelope.ts';
import { readTransferPassword } from '../config/environment.ts';
import { readLocalConfig, writeLocalConfig } from '../config/local.ts';
import { assertStrongPassword, readConfigPassword } from '../config/password.ts';
import { type AgentError, agentError } from '../errors/agent-error.ts';
import { writeFileAtomically } from '../files/files.ts';
import { assertFormat, isNewerFile, newerFile, stampOf } from '../files/format.ts';
import { dataKeyId, makeDataKey } from '../rows/field-encryption.ts';

/**
 * `data-key`: the tenant's key for `camposSensibles`. It is made at one agent, and goes from there to the others (and into a
 * safe) in a file that is sealed under a password of its own, SYNC_DATA_KEY_PASSWORD.
 */

export interface DataKeyOptions {
  folder: string;
  print: (line: string) => void;
}

/** Of the file of `export`. */
const FORMAT = 1;
const MAX_FILE_BYTES = 64 * 1024;

/**
 * Makes the key.
 * @throws {AgentError} `configuracion` where there is one: values encrypted under it would be lost
 */
export async function createDataKey({ folder, print }: DataKeyOptions): Promise<void> {
  const password = await readConfigPassword(folder);
  const local = await readLocalConfig(folder, password);
  if (local.dataKey !== undefined) {
    throw agentError('CLAVE_DE_DATOS_EXISTE', { id: dataKeyId(local.dataKey) });
  }
  const dataKey = makeDataKey();
  await writeLocalConfig(folder, password, { ...local, dataKey });
  print(`Clave de datos ${dataKeyId(dataKey)} creada para el tenant «${local.tenant}».`);
  print('Guarde ahora una copia (data-key export): sin ella lo cifrado no se recupera; el servidor no la tiene.');
}

/**
 * Writes the key to `file`.
 * @throws {AgentError} `configuracion`
 */
export async function exportDataKey({ folder, file, print }: DataKeyOptions & { file: string }): Promise<void> {
  const { tenant, dataKey } = await readLocalConfig(folder, await readConfigPassword(folder));
  if (dataKey === undefined) {
    throw agentError('CLAVE_DE_DATOS_AUSENTE', {});
  }
  const transferPassword = readTransferPassword();
  assertStrongPassword(transferPassword, 'SYNC_DATA_KEY_PASSWORD');
  const sealed = sealEnvelope(Buffer.from(JSON.stringify({ tenant, dataKey, ...stampOf(FORMAT) })), transferPassword);
  try {
    await writeFileAtomically(file, sealed);
  } catch (cause) {
    throw agentError('CLAVE_DE_DATOS_NO_ESCRITA', { archivo: file, motivo: (cause as Error).message }, cause);
  }
  print(`Clave de datos ${dataKeyId(dataKey)} escrita en ${file}, sellada con SYNC_DATA_KEY_PASSWORD.`);
}

/**
 * Takes the key of `file`.
 * @throws {AgentError} `configuracion`: another password, another tenant, another key here already; ARCHIVO_MAS_NUEVO
 */
export async function importDataKey({ folder, file, print }: DataKeyOptions & { file: string }): Promise<void> {
  const password = await readConfigPassword(folder);
  const local = await readLocalConfig(folder, password);
  const { tenant, dataKey } = await openFile(file);
  const id = dataKeyId(dataKey);
  if (tenant !== local.tenant) throw refused(file, `es del tenant «${tenant}», y este agente es de «${local.tenant}»`);
  if (local.dataKey !== undefined && local.dataKey !== dataKey) {
    throw refused(file, `tiene la clave ${id}, y este agente ya tiene otra, ${dataKeyId(local.dataKey)}`);
  }
  await writeLocalConfig(folder, password, { ...local, dataKey });
  print(`Clave de datos ${id} importada.`);
}

async function openFile(file: string): Promise<{ tenant: string; dataKey: string }> {
  const transferPassword = readTransferPassword();
  try {
    if ((await stat(file)).size > MAX_FILE_BYTES) throw new EnvelopeError('layout');
    const text = openEnvelope(await readFile(file), transferPassword).toString('utf8');
    const content = JSON.parse(text) as { tenant: string; dataKey: string };
    assertFormat(file, content, FORMAT);
    return content;
  } catch (cause) {
    if (isNewerFile(cause)) throw cause;
    if (cause instanceof EnvelopeError && cause.reason === 'newer') throw newerFile(file, FORMAT);
    if (!(cause instanceof EnvelopeError)) throw refused(file, (cause as Error).message, cause);
    if (cause.reason === 'cost') throw refused(file, 'pide más memoria para abrirse que los de data-key export', cause);
    const why = cause.reason === 'layout' ? 'no es de data-key export' : 'SYNC_DATA_KEY_PASSWORD es otra o está dañado';
    throw refused(file, why, cause);
  }
}

function refused(file: string, why: string, cause?: unknown): AgentError {
  return agentError('CLAVE_DE_DATOS_NO_IMPORTADA', { archivo: file, motivo: why }, cause);
}
