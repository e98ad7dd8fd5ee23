-- Work that one process does for all of them: whoever moves "proxima" forward does it (server/postgres/claims.ts).
CREATE TABLE sync_tareas (
  nombre text PRIMARY KEY,
  proxima timestamptz NOT NULL
);
REVOKE ALL ON sync_tareas FROM PUBLIC;

-- sync_logs by week of arrival. Agents deliver late and their clocks are wrong, so neither "fechaInicio" nor anything else that they
-- say decides where an entry lies. No DEFAULT partition: with one, no other could be detached without stopping everybody.
-- The table has no key of its own, which would have to contain "createdAt": each week has one of (id, "tenantId"), and
-- sync_guardar_logs looks at the other weeks.
ALTER TABLE sync_logs RENAME TO sync_logs_anterior;
ALTER TABLE sync_logs_anterior RENAME CONSTRAINT sync_logs_pkey TO sync_logs_anterior_pkey;
ALTER INDEX idx_sync_logs_tenant_created RENAME TO sync_logs_anterior_tenant_created;
ALTER INDEX idx_sync_logs_tabla RENAME TO sync_logs_anterior_tabla;
ALTER INDEX idx_sync_logs_estado RENAME TO sync_logs_anterior_estado;
CREATE TABLE sync_logs (LIKE sync_logs_anterior INCLUDING DEFAULTS) PARTITION BY RANGE ("createdAt");
CREATE INDEX idx_sync_logs_tenant_created ON sync_logs ("tenantId", "createdAt" DESC);
CREATE INDEX idx_sync_logs_tabla ON sync_logs (tabla);
CREATE INDEX idx_sync_logs_estado ON sync_logs (estado);
DO $$
DECLARE
  ultimo timestamptz := (SELECT max("createdAt") FROM sync_logs_anterior);
BEGIN
  IF ultimo IS NULL THEN
    DROP TABLE sync_logs_anterior;
  ELSE
    ALTER TABLE sync_logs_anterior DROP CONSTRAINT sync_logs_anterior_pkey, ADD PRIMARY KEY (id, "tenantId");
    -- What there was is one partition, up to the next Monday.
    EXECUTE format('ALTER TABLE sync_logs ATTACH PARTITION sync_logs_anterior FOR VALUES FROM (MINVALUE) TO (%L)',
      date_trunc('week', greatest(ultimo, now()), 'UTC') + interval '168 hours');
  END IF;
END
$$;

-- What is left of sync_logs when its weeks are dropped: what the specification's statistics say of a table, a row for each day (UTC,
-- of arrival), kept for two years.
CREATE TABLE sync_logs_diario (
  "tenantId" text NOT NULL,
  direccion text NOT NULL,
  tabla text NOT NULL,
  dia date NOT NULL,
  ejecuciones integer NOT NULL,
  exitosas integer NOT NULL,
  parciales integer NOT NULL,
  errores integer NOT NULL,
  registros bigint NOT NULL,
  -- Of the entries that say how long they took; null: none does.
  "msP50" integer,
  "msMax" integer,
  "msTotal" bigint,
  PRIMARY KEY ("tenantId", dia, direccion, tabla)
);
CREATE INDEX idx_sync_logs_diario_dia ON sync_logs_diario (dia);
REVOKE ALL ON sync_logs_diario FROM PUBLIC;

-- How long the entries of this tenant are kept; null: LOGS_DIAS.
ALTER TABLE sync_configurations ADD COLUMN "logsDias" integer CHECK ("logsDias" BETWEEN 7 AND 3650);
