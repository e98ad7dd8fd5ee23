import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { Bajas, GeneracionesResponse, OpenUpload, UploadResult } from '../../protocol/api.ts';
import { digestOf, digestOfDigests, formatContentDigest } from '../../protocol/digest.ts';
import type { Problem } from '../../protocol/errors.ts';
import { hashText } from '../../protocol/rows/hash.ts';
import type { TestServer } from './start-test-server.ts';

/** Uploads as an agent with a ledger sends them. */

export interface Answer {
  status: number;
  result: UploadResult;
  problem: Problem;
}

export interface Sent extends Partial<OpenUpload> {
  bajas?: unknown;
  tenant?: string;
  key?: string;
  agente?: string;
}

export const newId = () => randomBytes(16).toString('hex');

export const toLines = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

async function answerOf(response: Response): Promise<Answer> {
  const body = await response.json();
  return { status: response.status, result: body as UploadResult, problem: body as Problem };
}

/** Returns the `bajas` of a commit: the keys that are gone. */
export function bajasOfKeys(keys: readonly string[], { semilla = 20261130n, leidas = 1000 } = {}): Bajas {
  const hashes = keys.map((key) => BigInt.asUintN(64, hashText(key, semilla)));
  return { semilla: String(semilla), huellas: toBase64(hashes), leidas };
}

/** Hashes as they travel. */
export function toBase64(hashes: readonly bigint[]): string {
  const sorted = [...hashes].sort((one, other) => (one < other ? -1 : one > other ? 1 : 0));
  const bytes = Buffer.alloc(sorted.length * 8);
  for (const [n, hash] of sorted.entries()) bytes.writeBigUInt64BE(hash, n * 8);
  return bytes.toString('base64');
}

/** Makes uploads as an agent with a ledger sends them. */
export function makeUploads(server: TestServer, defaultTable: string) {
  const whoOf = ({ tenant = server.tenant, key = server.key, agente }: Sent) => ({
    tenant,
    key,
    headers: agente === undefined ? {} : { 'x-sync-agent': agente },
  });

  /** Opens a resumable upload and sends its rows, if there are any, as its only chunk. */
  async function open(lines: string, sent: Sent = {}) {
    const { bajas, tenant, key, agente, ...said } = sent;
    const who = whoOf(sent);
    const json = { tabla: defaultTable, modo: 'incremental', id: newId(), ...said } as const;
    const opened = await answerOf(await server.call(`/uploads/${who.tenant}`, { method: 'POST', json, ...who }));
    const digests: string[] = [];
    if (opened.status === 201 && lines !== '') {
      const body = new Uint8Array(gzipSync(lines));
      digests.push(digestOf(body));
      const put = await server.call(`/uploads/${who.tenant}/${json.id}/chunks/0`, {
        ...who,
        method: 'PUT',
        headers: { 'content-type': 'application/gzip', 'content-digest': formatContentDigest(digests[0]!) },
        body,
      });
      if (!put.ok) throw new Error(await put.text());
    }
    const filas = lines === '' ? 0 : lines.trim().split('\n').length;
    const totals = { trozos: digests.length, filas, digest: digestOfDigests(digests) };
    const commit = async (more: object = bajas === undefined ? {} : { bajas }) =>
      answerOf(
        await server.call(`/uploads/${who.tenant}/${json.id}/commit`, {
          ...who,
          method: 'POST',
          json: { ...totals, ...more },
        }),
      );
    return { id: json.id, opened, commit };
  }

  /** Opens, sends and commits; the first refusal, if there is one. */
  async function send(lines: string, sent: Sent = {}): Promise<Answer> {
    const { opened, commit } = await open(lines, sent);
    return opened.status === 201 ? commit() : opened;
  }

  return {
    open,
    send,

    /** A whole upload; the generation that it made. */
    async sendWhole(lines: string, sent: Sent = {}): Promise<string> {
      const { status, result, problem } = await send(lines, { ...sent, modo: 'completo' });
      if (status !== 200) throw new Error(JSON.stringify(problem));
      return result.generacion!;
    },

    /** In one request, as an operator sends it or, with `key`, an agent. */
    async sendOnce(lines: string, { idempotencyKey, ...query }: Record<string, string> = {}): Promise<Answer> {
      const named: Record<string, string> = idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey };
      const search = new URLSearchParams({ tabla: defaultTable, ...query });
      return answerOf(
        await server.call(`/upload/${server.tenant}?${search}`, {
          method: 'POST',
          headers: { 'content-type': 'application/x-ndjson', ...named },
          body: lines,
        }),
      );
    },

    async ask(tablas: Record<string, string | null>): Promise<GeneracionesResponse['tablas']> {
      const response = await server.call(`/generaciones/${server.tenant}`, { method: 'POST', json: { tablas } });
      return ((await response.json()) as GeneracionesResponse).tablas;
    },
  };
}
