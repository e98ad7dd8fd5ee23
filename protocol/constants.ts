/** Every literal of the wire, once. What each means is in SPEC.md. */

export const API_PREFIX = '/api/sync';

/** How the agent calls itself, before its version: `ax-sync-client/1.0.0`. */
export const AGENT_NAME = 'ax-sync-client';

export const headers = {
  tenant: 'x-tenant-id',
  apiKey: 'x-api-key',
  /** On answers of GET /config: when the key of the request ends, ISO 8601; absent when it never does. */
  apiKeyExpires: 'x-api-key-expires',
  /** On answers of GET /config: `true` when the agent should rotate its key now. */
  apiKeyRenew: 'x-api-key-renew',
  /** Which registered agent asks (agent-key.ts, agentIdOf): secrets in the answer are sealed for it. */
  agent: 'x-sync-agent',
  /** RFC 9530: `sha-256=:<base64>:`, over the body as it was sent (compressed). */
  contentDigest: 'content-digest',
  /** A UUID of the client's choice: the same key again answers the first result and applies nothing. */
  idempotencyKey: 'idempotency-key',
  /** W3C Trace Context: the trace of the agent's run, and the span of the run in it. */
  traceparent: 'traceparent',
  /** `ax-sync-client/<version>`: which agent speaks. */
  userAgent: 'user-agent',
} as const;

export const mediaTypes = {
  json: 'application/json',
  problem: 'application/problem+json',
  ndjson: 'application/x-ndjson',
  /** Accepted on upload, the same thing under its other name. */
  jsonl: 'application/jsonl',
  gzip: 'application/gzip',
  /** NDJSON between a first line `{"$inicio":…}` and a last line `{"$fin":{"filas":n}}` (SPEC.md, download). */
  framedNdjson: 'application/x-ndjson; marco=1',
} as const;

/** Bounds, in bytes unless the name says otherwise. Both sides hold to them; the server states its own on opening. */
export const limits = {
  /** Leading bits of a key's hash that make a bucket of `verify`: as many as 64 M rows have use for. */
  verifyMaxBits: 20,
  /** Keys that one request of `verify` looks at once more. */
  verifyLookMax: 20_000,
  /** Keys that one request of `verify` tells by their hashes. */
  verifyKeysMax: 2000,
  /** Differences of each kind that are named. */
  verifySamples: 20,
  /** Columns that are named of one of them. */
  verifyColumnsMax: 100,
  /** Leading bits of a key's hash that make a bucket of a download with `huellas`: as many as 8 M rows have use for. */
  changesMaxBits: 20,
  /** Buckets of which one request of a download says what its agent holds. */
  changesMaxBuckets: 2 ** 16,
  /** NDJSON bytes at which the agent closes a chunk. */
  chunkTargetBytes: 8 * 1024 * 1024,
  /** MB (10^6 bytes) of compressed chunks that wait on the agent's disk. */
  spoolMaxMb: 1024,
  /** The compressed body of one chunk. */
  chunkBodyMaxBytes: 64 * 1024 * 1024,
  /** One chunk, inflated. */
  chunkMaxBytes: 256 * 1024 * 1024,
  /** One NDJSON line. PostgreSQL's jsonb holds at most 256 MB a string. */
  lineMaxBytes: 64 * 1024 * 1024,
  /** Chunks of one upload. */
  chunksMaxCount: 100_000,
  /** An operator's one-shot upload, inflated. */
  uploadMaxBytes: 16 * 1024 * 1024 * 1024,
  /** JSON bodies other than uploads (logs, opening, commit). */
  jsonBodyMaxBytes: 1024 * 1024,
  /** Log entries in one request. */
  logsMaxCount: 1000,
  /** Tables in one POST /generaciones. */
  generationsMaxCount: 1000,
  /** Hashes of keys that are gone, in one commit. */
  bajasMaxCount: 50_000,
  tenantMaxLength: 100,
  tableNameMaxLength: 128,
} as const;
