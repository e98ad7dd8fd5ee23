import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  hkdfSync,
  randomBytes,
  timingSafeEqual,
} from 'node:crypto';
import { type AgentError, agentError } from '../agent-error.ts';
import type { NdjsonBlock } from '../sqlserver/connection.ts';
import type { RangeEnd } from '../sqlserver/ranges.ts';
import { replaceMembers } from './members.ts';

/**
 * `camposSensibles`: columns that leave the tenant's machine encrypted, and that only an agent with the tenant's data key
 * reads again. The server never has the key.
 *
 *     "cs1:<id of the data key, 8 hex>:<base64url of: IV (16) | ciphertext>"
 *
 * AES-256-CTR with a synthetic IV, as in SIV (RFC 5297): IV = HMAC-SHA-256(key, column | 0 | JSON of the value), cut to 16
 * bytes, and checked when it is opened. So an unchanged value is unchanged text, and an unchanged row stays untouched; for
 * the same reason equal values of one column show as equal. NULL stays NULL.
 */
const PREFIX = 'cs1:';
const TOKEN = /^"cs1:([0-9a-f]{8}):([A-Za-z0-9_-]+)"$/;
const IV_BYTES = 16;

/** A new data key of a tenant: 32 bytes, base64. */
export function makeDataKey(): string {
  return randomBytes(32).toString('base64');
}

/** By which a data key is called: 8 hexadecimal digits. */
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
  readonly #cipherKey: Buffer;
  readonly #ivKey: Buffer;

  constructor(dataKey: string, columns: readonly string[]) {
    const derive = (info: string) =>
      Buffer.from(hkdfSync('sha256', Buffer.from(dataKey, 'base64'), '', `ax-sync camposSensibles ${info}`, 32));
    this.keyId = dataKeyId(dataKey);
    this.#columns = new Set(columns.map((name) => name.toLowerCase()));
    this.#cipherKey = derive('cipher');
    this.#ivKey = derive('iv');
  }

  /** Whether it is one of them. */
  has(column: string): boolean {
    return this.#columns.has(column.toLowerCase());
  }

  get names(): string[] {
    return [...this.#columns];
  }

  /** The JSON of a value, as the JSON string that leaves the machine. */
  encrypt(column: string, json: string): string {
    if (json === 'null') return json;
    const plain = Buffer.from(json);
    const iv = this.#ivOf(column, plain);
    const cipher = createCipheriv('aes-256-ctr', this.#cipherKey, iv);
    const body = Buffer.concat([iv, cipher.update(plain), cipher.final()]);
    return `"${PREFIX}${this.keyId}:${body.toString('base64url')}"`;
  }

  /**
   * What `encrypt` made, back again; any other value as it is (it went up before the column was sensitive). Throws AgentError
   * `configuracion`: another data key, another column's value, damaged.
   */
  decrypt(column: string, json: string): string {
    const token = TOKEN.exec(json);
    if (token === null) return json;
    const [, keyId, text] = token;
    if (keyId !== this.keyId) {
      throw unreadable(column, `lo cifró la clave de datos ${keyId}, y la de este agente es ${this.keyId}`);
    }
    const bytes = Buffer.from(text!, 'base64url');
    const iv = bytes.subarray(0, IV_BYTES);
    if (bytes.length <= IV_BYTES) throw unreadable(column, 'está dañado');
    const decipher = createDecipheriv('aes-256-ctr', this.#cipherKey, iv);
    const plain = Buffer.concat([decipher.update(bytes.subarray(IV_BYTES)), decipher.final()]);
    if (!timingSafeEqual(this.#ivOf(column, plain), iv)) throw unreadable(column, 'está dañado o es de otra columna');
    return plain.toString('utf8');
  }

  #ivOf(column: string, plain: Buffer): Buffer {
    const hmac = createHmac('sha256', this.#ivKey).update(column.toLowerCase()).update('\0').update(plain);
    return hmac.digest().subarray(0, IV_BYTES);
  }
}

/**
 * The columns of a table that are sensitive, under the tenant's data key; undefined where there are none. Throws AgentError
 * `configuracion` where this agent has no data key.
 */
export function sensitiveColumnsOf(
  { nombre, camposSensibles = [] }: { nombre: string; camposSensibles?: readonly string[] },
  dataKey: string | undefined,
): SensitiveColumns | undefined {
  if (camposSensibles.length === 0) return undefined;
  if (dataKey !== undefined) return new SensitiveColumns(dataKey, camposSensibles);
  throw agentError('CAMPOS_SENSIBLES_SIN_CLAVE', { tabla: nombre });
}

/** Rows on their way up. Throws AgentError `configuracion` for a sensitive column that the query does not give. */
export async function* encryptRows(
  blocks: AsyncIterable<NdjsonBlock | RangeEnd>,
  tabla: string,
  columns: SensitiveColumns,
): AsyncGenerator<NdjsonBlock | RangeEnd> {
  for await (const block of blocks) {
    if ('ultima' in block) yield block;
    else yield { ...block, bytes: mapLines(block.bytes, (line) => encryptLine(line, tabla, columns)) };
  }
}

/** Rows on their way down, in pieces of whole lines. Throws AgentError `configuracion`. */
export async function* decryptRows(
  pieces: AsyncIterable<Uint8Array>,
  columns: SensitiveColumns,
): AsyncGenerator<Uint8Array> {
  const decrypt = (name: string, json: string) => (columns.has(name) ? columns.decrypt(name, json) : json);
  for await (const piece of pieces) yield mapLines(piece, (line) => replaceMembers(line, decrypt));
}

function mapLines(bytes: Uint8Array, change: (line: string) => string): Uint8Array {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  const lines = text.split('\n').map((line) => (line.trim() === '' ? line : change(line)));
  return Buffer.from(lines.join('\n'));
}

/** One row on its way up; see encryptRows. */
export function encryptLine(line: string, tabla: string, columns: SensitiveColumns): string {
  const missing = new Set(columns.names);
  const done = replaceMembers(line, (name, json) => {
    if (!columns.has(name)) return json;
    missing.delete(name.toLowerCase());
    return columns.encrypt(name, json);
  });
  if (missing.size === 0) return done;
  throw agentError('CAMPO_SENSIBLE_AUSENTE', { tabla, columnas: [...missing].join('», «') });
}

function unreadable(column: string, why: string): AgentError {
  return agentError('CAMPO_SENSIBLE_ILEGIBLE', { columna: column, motivo: why });
}
