import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { openBytes, sealBytes } from '../../protocol/crypto/sealed.ts';
import { SyncError } from '../../protocol/errors.ts';
import { type Config, ConfigError } from '../config.ts';

/**
 * Secrets at rest in the database: `axs1:<id of the master key>:<base64>`, AES-256-GCM under the master key, with the
 * place authenticated, so that a text copied to another tenant's row does not open there.
 */
const PREFIX = 'axs1';
const SEALED = /^axs1:([0-9a-f]{8}):([A-Za-z0-9+/]+={0,2})$/;
const KEY = /^[A-Za-z0-9+/]{43}=$/;

interface MasterKey {
  id: string;
  bytes: Buffer;
}

/** The master keys of this process: the first one seals, each opens what it sealed. None: nothing is sealed. */
export class MasterKeys {
  readonly #keys: readonly MasterKey[];

  /** `keys`: 32 bytes each, base64. */
  constructor(keys: readonly string[]) {
    this.#keys = keys.map((text) => {
      const bytes = Buffer.from(text, 'base64');
      return { id: createHash('sha256').update('ax-sync master key').update(bytes).digest('hex').slice(0, 8), bytes };
    });
  }

  get available(): boolean {
    return this.#keys.length > 0;
  }

  /** The secret sealed; as it is when there is no master key. */
  seal(place: string, secret: string): string {
    const [key] = this.#keys;
    if (key === undefined) return secret;
    return `${PREFIX}:${key.id}:${sealBytes(key.bytes, place, Buffer.from(secret)).toString('base64')}`;
  }

  /** What was stored: plain text as it is. Throws SyncError SECRETO_ILEGIBLE. */
  open(place: string, stored: string): string {
    const parts = SEALED.exec(stored);
    if (parts === null) return stored;
    const key = this.#keys.find(({ id }) => id === parts[1]);
    const plain = key === undefined ? undefined : openBytes(key.bytes, place, Buffer.from(parts[2]!, 'base64'));
    if (plain !== undefined) return Buffer.from(plain).toString('utf8');
    const why = key === undefined ? `la selló la clave maestra ${parts[1]}, que este servidor no tiene` : 'está dañada';
    throw new SyncError('SECRETO_ILEGIBLE', `La contraseña guardada de SQL Server no se puede abrir: ${why}.`);
  }

  /** Whether it is sealed under the key that seals now. */
  isCurrent(stored: string): boolean {
    const [key] = this.#keys;
    return key === undefined || SEALED.exec(stored)?.[1] === key.id;
  }

  isSealed(stored: string): boolean {
    return SEALED.test(stored);
  }
}

/**
 * Reads the keys that the settings name.
 * @throws {ConfigError}: both ways given, or a file that holds no key
 */
export function readMasterKeys(config: Config): MasterKeys {
  const { SYNC_MASTER_KEY: given, SYNC_MASTER_KEY_FILE: file, SYNC_MASTER_KEY_PREVIOUS: previous } = config;
  if (given !== undefined && file !== undefined) {
    throw new ConfigError('SYNC_MASTER_KEY y SYNC_MASTER_KEY_FILE: defina solo una de las dos');
  }
  const current = file === undefined ? given : readKeyFile(file);
  const others = previous?.split(',') ?? [];
  if (current === undefined && others.length > 0) {
    throw new ConfigError('SYNC_MASTER_KEY_PREVIOUS: falta SYNC_MASTER_KEY, la clave con la que se sella');
  }
  return new MasterKeys(current === undefined ? [] : [current, ...others]);
}

function readKeyFile(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new ConfigError(`SYNC_MASTER_KEY_FILE: no se puede leer ${file}: ${(error as Error).message}`);
  }
  if (KEY.test(text)) return text;
  throw new ConfigError(`SYNC_MASTER_KEY_FILE: ${file} no contiene 32 bytes en base64 (openssl rand -base64 32)`);
}
