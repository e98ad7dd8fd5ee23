import Type from 'typebox';
import { Value } from 'typebox/value';
import { VERSION_PATTERN } from '../protocol/agent-version.ts';
import { limits } from '../protocol/constants.ts';
import { OperatorError } from './operator-error.ts';

const POSTGRES_URL = '^postgres(ql)?://';
const MASTER_KEY = '[A-Za-z0-9+/]{43}=';
const HTTP_URL = '^https?://';
/** Long enough that nobody guesses it, and fit for a header. */
const TOKEN = '^[\\x21-\\x7e]{24,200}$';
const MasterKey = Type.String({ pattern: `^${MASTER_KEY}$` });

/** One of some words; the first is the default. */
function oneOf<const Word extends string>(...words: [Word, ...Word[]]) {
  const literals = words.map((word) => Type.Literal(word));
  return Type.Unsafe<Word>(Type.Union(literals, { default: words[0] }));
}

/**
 * The server's settings: one environment variable each, validated once, frozen. Names are what an operator writes;
 * units are in the names.
 */
const ConfigSchema = Type.Object(
  {
    /** postgres:// URL of the central database. */
    DATABASE_URL: Type.String({ pattern: POSTGRES_URL }),
    /** Seals SQL Server's passwords in the database: 32 bytes, base64 (`openssl rand -base64 32`). Or a file with it. */
    SYNC_MASTER_KEY: Type.Optional(MasterKey),
    SYNC_MASTER_KEY_FILE: Type.Optional(Type.String({ minLength: 1 })),
    /** Other keys that still open what they sealed, separated by commas; what they sealed is sealed anew. */
    SYNC_MASTER_KEY_PREVIOUS: Type.Optional(Type.String({ pattern: `^${MASTER_KEY}(,${MASTER_KEY})*$` })),
    /**
     * Where DATABASE_URL is a pooler that lends a connection for a transaction (PgBouncer): PostgreSQL itself, for migrations,
     * commands and periodic work, which need a session of their own.
     */
    DATABASE_DIRECT_URL: Type.Optional(Type.String({ pattern: POSTGRES_URL })),
    HOST: Type.String({ minLength: 1, default: '0.0.0.0' }),
    PORT: Type.Integer({ minimum: 0, maximum: 65_535, default: 3000 }),
    /** Connections for uploads and downloads, in one process. */
    DATABASE_POOL_MAX: Type.Integer({ minimum: 1, maximum: 500, default: 10 }),
    /** Connections for everything short (keys, configuration, logs), so that long transfers never starve it. */
    DATABASE_CONTROL_POOL_MAX: Type.Integer({ minimum: 1, maximum: 100, default: 4 }),
    /** Requests that may wait for a connection before the next is refused with 503. */
    DATABASE_QUEUE_MAX: Type.Integer({ minimum: 0, maximum: 100_000, default: 50 }),
    /** How long one may wait. */
    DATABASE_WAIT_MS: Type.Integer({ minimum: 10, maximum: 600_000, default: 10_000 }),
    /** Transfers of one tenant at a time, in one process. */
    TENANT_TRANSFERS_MAX: Type.Integer({ minimum: 1, maximum: 500, default: 6 }),
    /** What a phase, and the query of a download, may take of PostgreSQL's time. That of a slow reader does not count. */
    SQL_TIMEOUT_MS: Type.Integer({ minimum: 100, maximum: 86_400_000, default: 600_000 }),
    /**
     * Starts although the tenants' SQL may call functions that stop other tenants: where PostgreSQL is somebody else's service and
     * nobody is its superuser.
     */
    ACCEPT_UNREVOKED_FUNCTIONS: Type.Boolean({ default: false }),
    /** Rows of one download. */
    DOWNLOAD_MAX_ROWS: Type.Integer({ minimum: 1, default: 50_000_000 }),
    /** How long a transaction waits for a lock, such as another commit of the same table. */
    LOCK_TIMEOUT_MS: Type.Integer({ minimum: 100, maximum: 3_600_000, default: 120_000 }),
    /** A transfer whose peer moves no byte for this long is cut; the reader of a download, after a burst, up to six times later. */
    TRANSFER_IDLE_MS: Type.Integer({ minimum: 100, maximum: 3_600_000, default: 60_000 }),
    UPLOAD_MAX_BYTES: Type.Integer({ minimum: 1024, default: limits.uploadMaxBytes }),
    CHUNK_MAX_BYTES: Type.Integer({ minimum: 1024, default: limits.chunkMaxBytes }),
    CHUNK_BODY_MAX_BYTES: Type.Integer({ minimum: 1024, default: limits.chunkBodyMaxBytes }),
    LINE_MAX_BYTES: Type.Integer({ minimum: 64, default: limits.lineMaxBytes }),
    /** Resumable uploads that one tenant may have open. */
    UPLOADS_OPEN_MAX: Type.Integer({ minimum: 1, maximum: 10_000, default: 64 }),
    /** An upload is forgotten so long after its last chunk; results are kept as long. */
    UPLOAD_EXPIRE_HOURS: Type.Integer({ minimum: 1, maximum: 720, default: 24 }),
    /** Days that entries of sync_logs are kept; a tenant's own "logsDias" goes before. */
    LOGS_DIAS: Type.Integer({ minimum: 7, maximum: 3650, default: 90 }),
    /** Sockets open at a time; for one more the oldest idle one of the address with the most is closed. */
    HTTP_CONNECTIONS_MAX: Type.Integer({ minimum: 1, maximum: 1_000_000, default: 10_000 }),
    /** Requests per minute with one key, in one process. */
    RATE_LIMIT_PER_MINUTE: Type.Integer({ minimum: 1, default: 3000 }),
    /** Requests per minute from one address (IPv6: from one /64), in one process. */
    RATE_LIMIT_ADDRESS_PER_MINUTE: Type.Integer({ minimum: 1, default: 30_000 }),
    /** Refused credentials from one address within LOCKOUT_SECONDS that lock it out for the rest of them. */
    LOCKOUT_FAILURES: Type.Integer({ minimum: 1, maximum: 100_000, default: 30 }),
    LOCKOUT_SECONDS: Type.Integer({ minimum: 1, maximum: 86_400, default: 300 }),
    /** How long a key that was rotated is still in force after the first use of the new one. */
    KEY_GRACE_HOURS: Type.Integer({ minimum: 1, maximum: 720, default: 168 }),
    /** Agents of an earlier version are refused (AGENTE_ANTIGUO); none are without it. */
    SYNC_MIN_AGENT_VERSION: Type.Optional(Type.String({ pattern: VERSION_PATTERN })),
    /** Whether X-Forwarded-For is believed: only behind a proxy of one's own. */
    TRUST_PROXY: Type.Boolean({ default: false }),
    /** How many proxies of one's own stand in a row: so many addresses of X-Forwarded-For, from its end, are theirs. */
    TRUST_PROXY_HOPS: Type.Integer({ minimum: 1, maximum: 10, default: 1 }),
    /** How long a shutdown lets running requests finish. */
    SHUTDOWN_SECONDS: Type.Integer({ minimum: 0, maximum: 3600, default: 30 }),
    /** Opens /metrics and the deep health, as `Authorization: Bearer`; without it neither is there. */
    METRICS_TOKEN: Type.Optional(Type.String({ pattern: TOKEN })),
    /**
     * OpenTelemetry's own names: where spans go, OTLP over HTTP. Without one of the first two nothing of it is loaded. What else the
     * exporter knows (headers, certificates, time limits, compression) it reads by itself.
     */
    OTEL_EXPORTER_OTLP_ENDPOINT: Type.Optional(Type.String({ pattern: HTTP_URL })),
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: Type.Optional(Type.String({ pattern: HTTP_URL })),
    OTEL_SDK_DISABLED: Type.Boolean({ default: false }),
    OTEL_TRACES_EXPORTER: oneOf('otlp', 'none'),
    /** Which traces are kept; the argument is the share of the ones with `traceidratio`, from 0 to 1. */
    OTEL_TRACES_SAMPLER: oneOf(
      'parentbased_always_on',
      'parentbased_always_off',
      'parentbased_traceidratio',
      'always_on',
      'always_off',
      'traceidratio',
    ),
    OTEL_TRACES_SAMPLER_ARG: Type.String({ pattern: '^(0(\\.\\d+)?|1(\\.0+)?)$', default: '1' }),
    LOG_LEVEL: Type.Union(
      ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'].map((level) => Type.Literal(level)),
      { default: 'info' },
    ),
  },
  { additionalProperties: false },
);

export type Config = Readonly<Type.Static<typeof ConfigSchema>>;

/** Returns the address of PostgreSQL itself, past a pooler. */
export function directUrl({ DATABASE_URL, DATABASE_DIRECT_URL = DATABASE_URL }: Config): string {
  return DATABASE_DIRECT_URL;
}

/** A setting that breaks its rule; the message names field, value and rule. */
export class ConfigError extends OperatorError {
  override readonly name = 'ConfigError';
}

/**
 * Reads and validates the settings in `env`; variables that are not ours are passed over, empty ones count as missing.
 * @throws {ConfigError} with one line for each fault
 */
export function loadConfig(env: Record<string, string | undefined> = process.env): Config {
  const given: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries(ConfigSchema.properties)) {
    const value = env[name];
    if (value !== undefined && value !== '') given[name] = readValue(schema, value);
    else if ('default' in schema) given[name] = schema.default;
  }
  if (!Value.Check(ConfigSchema, given)) {
    const faults = Object.entries(ConfigSchema.properties).filter(
      ([name, schema]) => (given[name] !== undefined || isRequired(name)) && !Value.Check(schema, given[name]),
    );
    throw new ConfigError(faults.map(([name, schema]) => describeFault(name, given[name], schema)).join('\n'));
  }
  return Object.freeze(given);
}

function isRequired(name: string): boolean {
  return (ConfigSchema.required as readonly string[]).includes(name);
}

/** Text as the type that `schema` names; left as it is where it is none. */
function readValue(schema: object, text: string): unknown {
  const { type } = schema as { type?: string };
  if (type === 'integer') return /^-?\d{1,15}$/.test(text.trim()) ? Number(text) : text;
  if (type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  return text;
}

/** A URL may carry a password. */
const SECRET_NAMES = /^(DATABASE_(DIRECT_)?URL|SYNC_MASTER_KEY.*|METRICS_TOKEN|OTEL_EXPORTER_OTLP_.*)$/;

function describeFault(name: string, value: unknown, schema: object): string {
  if (value === undefined) return `${name}: falta; es obligatorio`;
  const shown = SECRET_NAMES.test(name) ? '(oculto)' : `«${String(value).slice(0, 80)}»`;
  return `${name}: ${shown} no vale: ${ruleOf(schema)}`;
}

function ruleOf(schema: object): string {
  const { type, minimum, maximum, pattern, anyOf } = schema as Record<string, unknown>;
  if (Array.isArray(anyOf)) return `debe ser uno de ${anyOf.map((one) => String(one.const)).join(', ')}`;
  if (type === 'integer') {
    const from = minimum === undefined ? '' : ` desde ${String(minimum)}`;
    const to = maximum === undefined ? '' : ` hasta ${String(maximum)}`;
    return `debe ser un número entero${from}${to}`;
  }
  if (type === 'boolean') return 'debe ser true o false';
  if (pattern === undefined) return 'no puede estar vacío';
  if (pattern === VERSION_PATTERN) return 'debe ser una versión de tres números, como 1.2.0';
  if (pattern === HTTP_URL) return 'debe ser una dirección http:// o https://';
  if (String(pattern).startsWith('^(0(')) return 'debe ser un número de 0 a 1';
  if (pattern === TOKEN) return 'deben ser de 24 a 200 caracteres sin espacios (openssl rand -hex 32)';
  return String(pattern).includes(MASTER_KEY)
    ? 'deben ser 32 bytes en base64 (openssl rand -base64 32)'
    : 'debe ser una URL postgres://usuario:clave@host:puerto/base';
}

/** Returns whether spans go somewhere. */
export function isTracing(config: Config): boolean {
  const { OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT } = config;
  if (config.OTEL_SDK_DISABLED || config.OTEL_TRACES_EXPORTER === 'none') return false;
  return (OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? OTEL_EXPORTER_OTLP_ENDPOINT) !== undefined;
}
