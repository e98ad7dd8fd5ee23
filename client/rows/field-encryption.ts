import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  hkdfSync,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto';
import type { TablaSubida } from '../../protocol/tenant-config/config.ts';
import { deriveTipoCampo } from '../../protocol/tenant-config/tipo-campo.ts';
import type { Origins, SeenOrigin } from '../config/sensitive-pins.ts';
import { type AgentError, agentError } from '../errors/agent-error.ts';
import type { RangeEnd } from '../sqlserver/read/ranges.ts';
import type { NdjsonBlock } from '../sqlserver/sql-server.ts';
import { replaceMembers } from './members.ts';

/**
 * `camposSensibles`: columns that leave the tenant's machine encrypted, and that only an agent with the tenant's data key
 * reads again. The server never has the key.
 *
 *     "cs2:<id of the data key, 8 hex>:<base64url of: IV (16) | ciphertext>"
 *
 * What is encrypted: JSON of [tipo_campo, column in lower case], a line end, and the JSON of the value, filled with blanks to a
 * multiple of 32 bytes, so that `true` is as long as `false`. AES-256-CTR with a synthetic IV, as in SIV (RFC 5297): IV =
 * HMAC-SHA-256(key, all of that), cut to 16 bytes, and checked when it is opened. So an unchanged value is unchanged text, and
 * an unchanged row stays untouched; for the same reason equal values of one column show as equal. NULL stays NULL.
 *
 * Earlier versions wrote `cs1:`, still read: HMAC of column | 0 | JSON of the value, which alone is encrypted: nothing says of
 * which tipo_campo it is, and its length shows.
 */
const TOKEN = /^"cs([12]):([0-9a-f]{8}):([A-Za-z0-9_-]+)"$/;
const IV_BYTES = 16;
const FILL_BYTES = 32;

/** A value of a download. */
export interface Opened {
  json: string;
  /** What it was sealed for, if it was; `undefined`: by an earlier version, which did not say. */
  sealed?: { origin: SeenOrigin };
}

/** Makes a new data key of a tenant: 32 bytes, base64. */
export function makeDataKey(): string {
  return randomBytes(32).toString('base64');
}

/** Returns the id by which a data key is called: 8 hexadecimal digits. */
export function dataKeyId(dataKey: string): string {
  return createHash('sha256')
    .update('ax-sync data key')
    .update(Buffer.from(dataKey, 'base64'))
    .digest('hex')
    .slice(0, 8);
}

/** Encrypts and decrypts the values of some columns, as JSON text. A column is the same in any case of its letters. */
export class SensitiveColumns {
  readonly keyId: string;
  readonly #columns: ReadonlySet<string>;
  readonly #cipherKeys: Record<'1' | '2', Buffer>;
  readonly #ivKeys: Record<'1' | '2', Buffer>;

  constructor(dataKey: string, columns: readonly string[]) {
    const derive = (info: string) =>
      Buffer.from(hkdfSync('sha256', Buffer.from(dataKey, 'base64'), '', `ax-sync camposSensibles ${info}`, 32));
    this.keyId = dataKeyId(dataKey);
    this.#columns = new Set(columns.map((name) => name.toLowerCase()));
    this.#cipherKeys = { 1: derive('cipher'), 2: derive('cipher 2') };
    this.#ivKeys = { 1: derive('iv'), 2: derive('iv 2') };
  }

  /** Whether it is one of them. */
  has(column: string): boolean {
    return this.#columns.has(column.toLowerCase());
  }

  get names(): string[] {
    return [...this.#columns];
  }

  /** The JSON of a value of that `tipo_campo`, as the JSON string that leaves the machine. */
  encrypt(tipoCampo: string, column: string, json: string): string {
    if (json === 'null') return json;
    const value = Buffer.from(json);
    const fill = Buffer.alloc(Math.ceil(value.length / FILL_BYTES) * FILL_BYTES - value.length, ' ');
    const plain = Buffer.concat([Buffer.from(`${JSON.stringify([tipoCampo, column.toLowerCase()])}\n`), value, fill]);
    const iv = this.#ivOf('2', plain);
    const cipher = createCipheriv('aes-256-ctr', this.#cipherKeys[2], iv);
    const body = Buffer.concat([iv, cipher.update(plain), cipher.final()]);
    return `"cs2:${this.keyId}:${body.toString('base64url')}"`;
  }

  /**
   * What `encrypt` made, back again; any other value as it is (it went up before the column was sensitive). Throws AgentError
   * `configuracion`: another data key, another column's value, damaged.
   */
  decrypt(column: string, json: string): Opened {
    const token = TOKEN.exec(json);
    if (token === null) return { json };
    const [, version, keyId, text] = token as unknown as [string, '1' | '2', string, string];
    if (keyId !== this.keyId) {
      throw unreadable(column, `lo cifró la clave de datos ${keyId}, y la de este agente es ${this.keyId}`);
    }
    const bytes = Buffer.from(text, 'base64url');
    const iv = bytes.subarray(0, IV_BYTES);
    if (bytes.length <= IV_BYTES) throw unreadable(column, 'está dañado');
    const decipher = createDecipheriv('aes-256-ctr', this.#cipherKeys[version], iv);
    const plain = Buffer.concat([decipher.update(bytes.subarray(IV_BYTES)), decipher.final()]);
    const authenticated = version === '1' ? Buffer.concat([Buffer.from(`${column.toLowerCase()}\0`), plain]) : plain;
    if (!timingSafeEqual(this.#ivOf(version, authenticated), iv)) {
      throw unreadable(column, version === '1' ? 'está dañado o es de otra columna' : 'está dañado');
    }
    if (version === '1') return { json: plain.toString('utf8'), sealed: { origin: undefined } };
    const end = plain.indexOf('\n');
    const [tipoCampo, sealedColumn] = JSON.parse(plain.toString('utf8', 0, end)) as [string, string];
    if (sealedColumn !== column.toLowerCase()) {
      throw unreadable(column, `es de otra columna, «${sealedColumn}» de «${tipoCampo}»`);
    }
    return { json: plain.toString('utf8', end + 1).replace(/ +$/, ''), sealed: { origin: { tipoCampo } } };
  }

  #ivOf(version: '1' | '2', authenticated: Buffer): Buffer {
    return createHmac('sha256', this.#ivKeys[version]).update(authenticated).digest().subarray(0, IV_BYTES);
  }
}

/**
 * Returns the columns of a table that are sensitive, under the tenant's data key; undefined where there are none.
 * @throws {AgentError} `configuracion` where this agent has no data key
 */
export function sensitiveColumnsOf(
  { nombre, camposSensibles = [] }: { nombre: string; camposSensibles?: readonly string[] },
  dataKey: string | undefined,
): SensitiveColumns | undefined {
  if (camposSensibles.length === 0) return undefined;
  if (dataKey !== undefined) return new SensitiveColumns(dataKey, camposSensibles);
  throw agentError('CAMPOS_SENSIBLES_SIN_CLAVE', { tabla: nombre });
}

/**
 * Rows on their way up.
 * @throws {AgentError} `configuracion` for a sensitive column that the query does not give
 */
export async function* encryptRows(
  blocks: AsyncIterable<NdjsonBlock | RangeEnd>,
  tabla: TablaSubida,
  columns: SensitiveColumns,
): AsyncGenerator<NdjsonBlock | RangeEnd> {
  for await (const block of blocks) {
    if ('ultima' in block) yield block;
    else yield { ...block, bytes: mapLines(block.bytes, (line) => encryptLine(line, tabla, columns)) };
  }
}

/**
 * Rows on their way up of a query that must not give some columns in plain (guardedNames). All rows have the columns of
 * the first; `onClean` is told once it has none of them.
 * @throws {AgentError} CAMPO_SENSIBLE_EN_CLARO
 */
export async function* refuseColumns(
  blocks: AsyncIterable<NdjsonBlock | RangeEnd>,
  { nombre }: TablaSubida,
  guarded: ReadonlySet<string>,
  onClean: () => void,
): AsyncGenerator<NdjsonBlock | RangeEnd> {
  let looked = false;
  for await (const block of blocks) {
    if (!looked && !('ultima' in block) && block.rows > 0) {
      const text = Buffer.from(block.bytes.buffer, block.bytes.byteOffset, block.bytes.byteLength);
      assertNoneOf(guarded, text.toString('utf8', 0, text.indexOf('\n')), nombre);
      looked = true;
      onClean();
    }
    yield block;
  }
}

/** @throws {AgentError} CAMPO_SENSIBLE_EN_CLARO where a row has one of these columns */
export function assertNoneOf(guarded: ReadonlySet<string>, line: string, tabla: string): void {
  const found: string[] = [];
  replaceMembers(line, (name, json) => {
    if (guarded.has(name.toLowerCase())) found.push(name);
    return json;
  });
  if (found.length > 0) throw agentError('CAMPO_SENSIBLE_EN_CLARO', { tabla, columnas: found.join('», «') });
}

/**
 * Rows on their way down, in pieces of whole lines.
 * @throws {AgentError} `configuracion`
 */
export async function* decryptRows(
  pieces: AsyncIterable<Uint8Array>,
  columns: SensitiveColumns,
  origins: Origins,
): AsyncGenerator<Uint8Array> {
  const decrypt = (name: string, json: string) => {
    if (!columns.has(name)) return json;
    const opened = columns.decrypt(name, json);
    if (opened.sealed !== undefined) origins.see(name, opened.sealed.origin);
    return opened.json;
  };
  for await (const piece of pieces) yield mapLines(piece, (line) => replaceMembers(line, decrypt));
}

function mapLines(bytes: Uint8Array, change: (line: string) => string): Uint8Array {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  const lines = text.split('\n').map((line) => (line.trim() === '' ? line : change(line)));
  return Buffer.from(lines.join('\n'));
}

/** Encrypts one row on its way up; see encryptRows. */
export function encryptLine(line: string, tabla: TablaSubida, columns: SensitiveColumns): string {
  const tipoCampo = tabla.tipoCampo ?? deriveTipoCampo(tabla.nombre);
  const missing = new Set(columns.names);
  const done = replaceMembers(line, (name, json) => {
    if (!columns.has(name)) return json;
    missing.delete(name.toLowerCase());
    return columns.encrypt(tipoCampo, name, json);
  });
  if (missing.size === 0) return done;
  throw agentError('CAMPO_SENSIBLE_AUSENTE', { tabla: tabla.nombre, columnas: [...missing].join('», «') });
}

function unreadable(column: string, why: string): AgentError {
  return agentError('CAMPO_SENSIBLE_ILEGIBLE', { columna: column, motivo: why });
}
