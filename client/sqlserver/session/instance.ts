import { lookup } from 'node:dns';
import { lookupAllAddresses } from 'tedious/lib/connector.js';
import { sendInParallel } from 'tedious/lib/sender.js';
import { sqlServerError } from '../errors.ts';

/**
 * Where a named instance listens: SQL Server Browser says it, by UDP ([MC-SQLR]). tedious has a lookup of its own, which
 * waits for one lost datagram as long as for the whole login, sends its question four times and needs four answers, and does
 * not say which instances there are; so its senders are used, and the rest is here.
 *
 * The answer is not authenticated. It is only ever a port of the host that was asked for, whose certificate is checked.
 */

const BROWSER_PORT = 1434;
/** CLNT_UCAST_EX ([MC-SQLR] 2.2.2): all instances of the machine. */
const QUESTION = Buffer.from([0x03]);
/** First byte of SVR_RESP ([MC-SQLR] 2.2.5). */
const ANSWER = 0x05;
/** After so long without an answer the question is sent again. */
const ATTEMPT_MS = 1000;
const ATTEMPTS = 5;

/**
 * Finds the TCP port of `instance`, whatever the case of its name. Waits at most 5 s, and `timeoutMs`. Throws
 * `signal.reason`, the system's error where `host` is unknown, or SqlServerError `INSTANCIA_…`.
 */
export async function findInstancePort(
  { host, instance }: { host: string; instance: string },
  { signal, timeoutMs }: { signal: AbortSignal; timeoutMs: number },
): Promise<number> {
  const { instances, cause } = await ask(host, AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]));
  signal.throwIfAborted();
  if (instances === undefined) {
    throw sqlServerError('INSTANCIA_SIN_RESPUESTA', { servidor: host, instancia: instance }, { cause });
  }
  const found = instances.find(({ name }) => name.toUpperCase() === instance.toUpperCase());
  if (found === undefined) {
    const hay = instances.map(({ name }) => name).join(', ') || 'ninguna';
    throw sqlServerError('INSTANCIA_DESCONOCIDA', { servidor: host, instancia: instance, hay });
  }
  if (found.port === undefined) {
    throw sqlServerError('INSTANCIA_SIN_TCP', { servidor: host, instancia: found.name });
  }
  return found.port;
}

interface Instance {
  name: string;
  port: number | undefined;
}

/**
 * Without `instances` nobody answered in time, or `signal` is aborted; `cause` is the last that went wrong. Throws
 * where the name is not found.
 */
async function ask(host: string, signal: AbortSignal): Promise<{ instances?: Instance[]; cause?: unknown }> {
  const addresses = await lookupAllAddresses(host, lookup, signal);
  let cause: unknown;
  for (let attempt = 0; attempt < ATTEMPTS && !signal.aborted; attempt++) {
    try {
      const wait = AbortSignal.any([signal, AbortSignal.timeout(ATTEMPT_MS)]);
      const instances = readAnswer(await sendInParallel(addresses, BROWSER_PORT, QUESTION, wait));
      if (instances !== undefined) return { instances };
    } catch (error) {
      cause = error;
    }
  }
  return { cause };
}

/** SVR_RESP: a length, then `key;value;` pairs, those of each instance from `ServerName` to `;;`. Undefined: no such thing. */
function readAnswer(message: Buffer): Instance[] | undefined {
  if (message[0] !== ANSWER || message.length < 3 || message.readUInt16LE(1) > message.length - 3) return undefined;
  const text = message.toString('latin1', 3, 3 + message.readUInt16LE(1));
  return text.split(/;;(?=ServerName;|$)/).flatMap((part) => {
    const words = part.split(';');
    const wordAfter = (key: string) => {
      const at = words.findIndex((word, index) => index % 2 === 0 && word === key);
      return at === -1 ? undefined : words[at + 1];
    };
    const name = wordAfter('InstanceName');
    const port = Number(wordAfter('tcp'));
    return name === undefined ? [] : [{ name, port: port > 0 && port < 65_536 ? port : undefined }];
  });
}
