-- Functions are in functions/, roles in roles.sql: both are there before this runs.

-- The specification's tables, with the names and the defaults that its own INSERT and UPDATE statements rely on.

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
  "updatedAt" timestamptz(3) NOT NULL DEFAULT now(),
  -- More SQL Server databases than the specification's one: {"almacen": {host, port, database, user, password}}.
  "sqlServerConexiones" jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof("sqlServerConexiones") = 'object')
);
CREATE TRIGGER sync_configuracion_cambiada BEFORE UPDATE ON sync_configurations
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION sync_configuracion_cambiada();

CREATE TABLE sync_logs (
  id text DEFAULT sync_nuevo_id(),
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
  "createdAt" timestamptz(3) NOT NULL DEFAULT now(),
  -- Ids are each tenant's own: no tenant takes one from another.
  PRIMARY KEY ("tenantId", id)
);
CREATE INDEX idx_sync_logs_tenant_created ON sync_logs ("tenantId", "createdAt" DESC);
CREATE INDEX idx_sync_logs_tabla ON sync_logs (tabla);
CREATE INDEX idx_sync_logs_estado ON sync_logs (estado);

-- Collation "C": keys compare and sort by bytes, on every platform alike, at a third of the cost.
CREATE TABLE parametros_maestros (
  "tenantId" text COLLATE "C" NOT NULL DEFAULT sync_tenant_actual(),
  tipo_campo text COLLATE "C" NOT NULL,
  codigo text COLLATE "C" NOT NULL,
  nombre text,
  activo boolean NOT NULL DEFAULT true,
  parametros_json jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY ("tenantId", tipo_campo, codigo)
);
ALTER TABLE parametros_maestros ENABLE ROW LEVEL SECURITY;
CREATE POLICY sync_solo_su_tenant ON parametros_maestros TO ax_sync_tenant, ax_sync_consulta
  USING ("tenantId" = (SELECT sync_tenant_actual())) WITH CHECK ("tenantId" = (SELECT sync_tenant_actual()));
GRANT SELECT, INSERT, UPDATE, DELETE ON parametros_maestros TO ax_sync_tenant;
GRANT SELECT ON parametros_maestros TO ax_sync_consulta;

-- Keys and agents.

-- "graceUntil": set when the key that came in its place ("rotatedFrom" of that one) was first used.
CREATE TABLE sync_api_keys (
  id text PRIMARY KEY DEFAULT sync_nuevo_id(),
  "tenantId" text NOT NULL,
  nombre text,
  hash bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
  "createdAt" timestamptz(3) NOT NULL DEFAULT now(),
  "lastUsedAt" timestamptz(3),
  "expiresAt" timestamptz(3),
  "revokedAt" timestamptz(3),
  "rotatedFrom" text,
  "graceUntil" timestamptz(3)
);
CREATE INDEX idx_sync_api_keys_tenant ON sync_api_keys ("tenantId");
CREATE INDEX idx_sync_api_keys_busqueda ON sync_api_keys (substr(hash, 1, 8), "tenantId");

-- The public keys of the agents: what the server tells an agent in secret is sealed under its key. "version": which one it
-- runs, and since when; null: it has not said.
CREATE TABLE sync_agents (
  "tenantId" text NOT NULL,
  id text NOT NULL CHECK (id ~ '^[0-9a-f]{32}$'),
  "clavePublica" text NOT NULL,
  autorizado boolean NOT NULL,
  "createdAt" timestamptz(3) NOT NULL DEFAULT now(),
  version text,
  "versionDesde" timestamptz(3),
  PRIMARY KEY ("tenantId", id)
);

-- "firma" signs the tenant of a transaction (sync_firma).
CREATE TABLE sync_secretos (nombre text PRIMARY KEY, valor text NOT NULL);
REVOKE ALL ON sync_secretos FROM PUBLIC;
INSERT INTO sync_secretos VALUES ('firma', gen_random_uuid()::text || gen_random_uuid()::text);

-- Uploads.

-- Logged: the result of a commit must outlive a crash. Its rows lie in a table sync_recibido_<id> until then.
CREATE TABLE sync_uploads (
  id text PRIMARY KEY,
  "tenantId" text NOT NULL,
  tabla text NOT NULL,
  "tipoCampo" text NOT NULL,
  modo text NOT NULL CHECK (modo IN ('completo', 'incremental')),
  resultado jsonb,
  "createdAt" timestamptz(3) NOT NULL DEFAULT now(),
  "expiresAt" timestamptz(3) NOT NULL,
  lectura text,
  "relojAtrasado" boolean
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

-- What a one-shot upload with an Idempotency-Key answered, and the digest of its body.
CREATE TABLE sync_idempotency (
  "tenantId" text NOT NULL,
  clave text NOT NULL,
  peticion text NOT NULL,
  resultado jsonb,
  "createdAt" timestamptz(3) NOT NULL DEFAULT now(),
  digest text,
  PRIMARY KEY ("tenantId", clave)
);
CREATE INDEX idx_sync_idempotency_created ON sync_idempotency ("createdAt");

-- What commits made, a generation each (protocol/SPEC.md, Generations): of each agent and table the newest 16 with their
-- results, and how new the readings were.
CREATE TABLE sync_commits (
  "tenantId" text NOT NULL,
  id text NOT NULL,
  tabla text NOT NULL,
  -- Of a registered agent; '' of whoever is none.
  agente text NOT NULL,
  orden bigint GENERATED ALWAYS AS IDENTITY,
  -- UTC with seven digits of a second and no zone: as text they compare as times.
  lectura text COLLATE "C",
  -- The rest is null where a mark was adopted, which no upload made; peticion is a one-shot upload's alone.
  modo text,
  peticion text,
  digest text,
  resultado jsonb,
  "createdAt" timestamptz(3) NOT NULL DEFAULT now(),
  PRIMARY KEY ("tenantId", id)
);
CREATE INDEX idx_sync_commits_tabla ON sync_commits ("tenantId", tabla, orden);

-- One row for each tenant and tipo_campo that was ever merged: who merges locks it. Not an advisory lock: any SQL may take
-- those, and keep another tenant waiting.
CREATE TABLE sync_cerrojos (
  "tenantId" text NOT NULL,
  tipo_campo text NOT NULL,
  tabla text,
  PRIMARY KEY ("tenantId", tipo_campo)
);

-- Whose a row is, of a tipo_campo that several tables share; of any other it is the table that wrote there last.
CREATE TABLE sync_claves_compartidas (
  "tenantId" text COLLATE "C" NOT NULL,
  tipo_campo text COLLATE "C" NOT NULL,
  codigo text COLLATE "C" NOT NULL,
  tabla text NOT NULL,
  PRIMARY KEY ("tenantId", tipo_campo, codigo)
);
REVOKE ALL ON sync_claves_compartidas FROM PUBLIC;

-- Rows that a run would have deactivated or removed, too many to believe, which wait until an administrator decides.
CREATE TABLE sync_bajas_retenidas (
  id text PRIMARY KEY DEFAULT sync_nuevo_id(),
  "tenantId" text NOT NULL,
  direccion text NOT NULL CHECK (direccion IN ('upload', 'download')),
  tabla text NOT NULL,
  -- Of a download, whose targets are each agent's own; '' for an upload and for an agent that does not say who it is.
  agente text NOT NULL DEFAULT '',
  tipo_campo text,
  -- Of the set of keys, in no order. What an administrator decides, he decides of this set.
  digest text NOT NULL,
  bajas integer NOT NULL,
  total integer NOT NULL,
  -- Keys, at most 20: of the bajas, and of what the same run inserted (a change of key looks like n of each).
  muestra jsonb NOT NULL,
  altas integer NOT NULL DEFAULT 0,
  "muestraAltas" jsonb NOT NULL DEFAULT '[]',
  estado text NOT NULL DEFAULT 'pendiente' CHECK (estado IN ('pendiente', 'aprobada', 'descartada')),
  "resueltaPor" text,
  "resueltaAt" timestamptz(3),
  "createdAt" timestamptz(3) NOT NULL DEFAULT now(),
  -- NULL: what was discarded is not asked again.
  "expiresAt" timestamptz(3),
  UNIQUE ("tenantId", direccion, tabla, agente)
);
CREATE INDEX idx_sync_bajas_retenidas_expires ON sync_bajas_retenidas ("expiresAt");
REVOKE ALL ON sync_bajas_retenidas FROM PUBLIC;

-- The audit: triggers note every change of a configuration, a key, an agent or a secret, whoever makes it and however.
-- Nothing there can be changed or removed by a statement, its owner's included; who may change the schema (its owner, a
-- superuser) can take the triggers away, which `findAuditGaps` reports.

CREATE TABLE sync_audit (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  "createdAt" timestamptz(3) NOT NULL DEFAULT clock_timestamp(),
  -- Who and from where, as the program says (app.audit_actor, app.audit_origen), else as PostgreSQL knows it.
  actor text NOT NULL,
  origen text NOT NULL,
  -- As PostgreSQL knows it, whatever the program says. An address of NULL is a local socket.
  login text NOT NULL DEFAULT session_user,
  direccion inet DEFAULT inet_client_addr(),
  aplicacion text NOT NULL DEFAULT current_setting('application_name'),
  operacion text NOT NULL,
  tabla text NOT NULL,
  registro text NOT NULL,
  "tenantId" text,
  -- [{"campo", "antes", "despues"}]; secrets are "***".
  cambios jsonb NOT NULL
);
CREATE INDEX idx_sync_audit_tenant ON sync_audit ("tenantId", id DESC);
REVOKE ALL ON sync_audit FROM PUBLIC;
CREATE TRIGGER sync_audit_inmutable BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON sync_audit
  FOR EACH STATEMENT EXECUTE FUNCTION sync_audit_inmutable();
-- ALWAYS: also for a session that calls itself a replica.
ALTER TABLE sync_audit ENABLE ALWAYS TRIGGER sync_audit_inmutable;

DO $$
DECLARE
  tabla text;
BEGIN
  FOREACH tabla IN ARRAY ARRAY['sync_configurations', 'sync_api_keys', 'sync_secretos', 'sync_agents'] LOOP
    EXECUTE format('CREATE TRIGGER sync_auditar AFTER INSERT OR UPDATE OR DELETE ON %I
      FOR EACH ROW EXECUTE FUNCTION sync_auditar()', tabla);
    -- Before: afterwards there is nothing left to note.
    EXECUTE format('CREATE TRIGGER sync_auditar_vaciado BEFORE TRUNCATE ON %I
      FOR EACH STATEMENT EXECUTE FUNCTION sync_auditar()', tabla);
    EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER sync_auditar', tabla);
    EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER sync_auditar_vaciado', tabla);
  END LOOP;
END
$$;
-- What a run retains is no act of a person; what is decided of it is, also by plain SQL.
CREATE TRIGGER sync_auditar AFTER UPDATE ON sync_bajas_retenidas
  FOR EACH ROW WHEN (OLD.estado IS DISTINCT FROM NEW.estado) EXECUTE FUNCTION sync_auditar();
CREATE TRIGGER sync_auditar_alta AFTER INSERT ON sync_bajas_retenidas
  FOR EACH ROW WHEN (NEW.estado <> 'pendiente') EXECUTE FUNCTION sync_auditar();
ALTER TABLE sync_bajas_retenidas ENABLE ALWAYS TRIGGER sync_auditar;
ALTER TABLE sync_bajas_retenidas ENABLE ALWAYS TRIGGER sync_auditar_alta;
