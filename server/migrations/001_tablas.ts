import type { MigrationBuilder } from 'node-pg-migrate';

/**
 * The specification's tables, with the names and the defaults that its own INSERT and UPDATE statements rely on, and
 * the tables of uploads and keys.
 */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
CREATE FUNCTION sync_nuevo_id() RETURNS text LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
  SELECT 'c' || string_agg(substr('0123456789abcdefghijklmnopqrstuvwxyz', (get_byte(b, i) % 36) + 1, 1), '')
  FROM (SELECT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex') AS b) r,
       -- Bytes 6 and 8 of a UUID carry its version and variant: passed over.
       unnest(ARRAY[0,1,2,3,4,5,7,9,10,11,12,13,14,15,16,17,18,19,20,21,23,25,26,27]) AS i
$$;

CREATE TABLE sync_configurations (
  id text PRIMARY KEY DEFAULT sync_nuevo_id(),
  "tenantId" text NOT NULL UNIQUE CHECK ("tenantId" <> '' AND length("tenantId") <= 100),
  "sqlServerHost" text NOT NULL,
  "sqlServerPort" integer NOT NULL DEFAULT 1433,
  "sqlServerDatabase" text NOT NULL,
  "sqlServerUser" text NOT NULL,
  "sqlServerPassword" text NOT NULL,
  "configuracionTablas" jsonb NOT NULL,
  version integer NOT NULL DEFAULT 1,
  "ultimaModificacion" timestamptz(3) NOT NULL DEFAULT now(),
  activo boolean NOT NULL DEFAULT true,
  "createdAt" timestamptz(3) NOT NULL DEFAULT now(),
  "updatedAt" timestamptz(3) NOT NULL DEFAULT now()
);

CREATE FUNCTION sync_configuracion_cambiada() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.version := OLD.version + 1;
  NEW."ultimaModificacion" := clock_timestamp();
  NEW."updatedAt" := clock_timestamp();
  RETURN NEW;
END
$$;
-- An operator's plain UPDATE has to reach the agents, which ask by version.
CREATE TRIGGER sync_configuracion_cambiada BEFORE UPDATE ON sync_configurations
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION sync_configuracion_cambiada();

CREATE TABLE sync_logs (
  id text PRIMARY KEY DEFAULT sync_nuevo_id(),
  "tenantId" text NOT NULL,
  "configId" text,
  direccion text NOT NULL,
  tabla text NOT NULL,
  fase text,
  "ejecutadoEn" text,
  estado text NOT NULL,
  "registrosAfectados" integer,
  mensaje text,
  "errorDetalle" text,
  "duracionMs" integer,
  metadatos jsonb,
  "fechaInicio" timestamptz(3) NOT NULL,
  "fechaFin" timestamptz(3),
  "createdAt" timestamptz(3) NOT NULL DEFAULT now()
);
CREATE INDEX idx_sync_logs_tenant_created ON sync_logs ("tenantId", "createdAt" DESC);
CREATE INDEX idx_sync_logs_tabla ON sync_logs (tabla);
CREATE INDEX idx_sync_logs_estado ON sync_logs (estado);

-- Collation "C": keys compare and sort by bytes, on every platform alike, at a third of the cost.
CREATE TABLE parametros_maestros (
  "tenantId" text COLLATE "C" NOT NULL,
  tipo_campo text COLLATE "C" NOT NULL,
  codigo text COLLATE "C" NOT NULL,
  nombre text,
  activo boolean NOT NULL DEFAULT true,
  parametros_json jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY ("tenantId", tipo_campo, codigo)
);

CREATE TABLE sync_api_keys (
  id text PRIMARY KEY DEFAULT sync_nuevo_id(),
  "tenantId" text NOT NULL,
  nombre text,
  hash bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
  "createdAt" timestamptz(3) NOT NULL DEFAULT now(),
  "lastUsedAt" timestamptz(3),
  "expiresAt" timestamptz(3),
  "revokedAt" timestamptz(3)
);
CREATE INDEX idx_sync_api_keys_tenant ON sync_api_keys ("tenantId");

-- Logged: the result of a commit must outlive a crash. Its rows lie in a table sync_recibido_<id> until then.
CREATE TABLE sync_uploads (
  id text PRIMARY KEY,
  "tenantId" text NOT NULL,
  tabla text NOT NULL,
  "tipoCampo" text NOT NULL,
  modo text NOT NULL CHECK (modo IN ('completo', 'incremental')),
  resultado jsonb,
  "createdAt" timestamptz(3) NOT NULL DEFAULT now(),
  "expiresAt" timestamptz(3) NOT NULL
);
CREATE INDEX idx_sync_uploads_tenant ON sync_uploads ("tenantId");
CREATE INDEX idx_sync_uploads_expires ON sync_uploads ("expiresAt");

-- UNLOGGED like the rows that it counts: a crash of PostgreSQL empties both, never one of them.
CREATE UNLOGGED TABLE sync_upload_chunks (
  upload text NOT NULL,
  n integer NOT NULL,
  digest text NOT NULL,
  filas integer NOT NULL,
  PRIMARY KEY (upload, n)
);

-- What a one-shot upload with an Idempotency-Key answered.
CREATE TABLE sync_idempotency (
  "tenantId" text NOT NULL,
  clave text NOT NULL,
  peticion text NOT NULL,
  resultado jsonb,
  "createdAt" timestamptz(3) NOT NULL DEFAULT now(),
  PRIMARY KEY ("tenantId", clave)
);
CREATE INDEX idx_sync_idempotency_created ON sync_idempotency ("createdAt");
`);
}

export const down = false;
