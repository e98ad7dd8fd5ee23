-- The columns that an upload table's query gives, as its agents describe them (protocol/SPEC.md, Schemas): the description in
-- force, the ones before it, and those that wait for an administrator.
CREATE TABLE sync_esquemas (
  id text PRIMARY KEY DEFAULT sync_nuevo_id(),
  "tenantId" text NOT NULL,
  -- Of the configuration when it was described; '' for the tenant's own.
  conexion text NOT NULL DEFAULT '',
  tabla text NOT NULL,
  -- Which one in force it is, or was; NULL: it never was.
  version integer,
  huella text NOT NULL,
  "primaryKey" jsonb NOT NULL,
  columnas jsonb NOT NULL,
  -- anunciado: described, no upload of it has been applied. anterior: it was in force, or nobody asks for it any more.
  estado text NOT NULL DEFAULT 'anunciado'
    CHECK (estado IN ('anunciado', 'vigente', 'pendiente', 'rechazado', 'aprobado', 'anterior')),
  -- Against the one in force, of what waits. An approval holds for these and no others.
  cambios jsonb NOT NULL DEFAULT '[]',
  -- Of a registered agent; '' of whoever is none.
  agente text NOT NULL DEFAULT '',
  "resueltaPor" text,
  "resueltaAt" timestamptz(3),
  "createdAt" timestamptz(3) NOT NULL DEFAULT now(),
  desde timestamptz(3) NOT NULL DEFAULT now(),
  hasta timestamptz(3)
);
-- md5: a key of many long names does not fit into an index.
CREATE UNIQUE INDEX idx_sync_esquemas_huella ON sync_esquemas ("tenantId", tabla, huella, md5("primaryKey"::text));
CREATE UNIQUE INDEX idx_sync_esquemas_vigente ON sync_esquemas ("tenantId", tabla) WHERE estado = 'vigente';
REVOKE ALL ON sync_esquemas FROM PUBLIC;
-- What a run changes is no act of a person; an approval is, also by plain SQL.
CREATE TRIGGER sync_auditar AFTER UPDATE ON sync_esquemas
  FOR EACH ROW WHEN (NEW.estado = 'aprobado' AND OLD.estado IS DISTINCT FROM NEW.estado) EXECUTE FUNCTION sync_auditar();
CREATE TRIGGER sync_auditar_alta AFTER INSERT ON sync_esquemas
  FOR EACH ROW WHEN (NEW.estado = 'aprobado') EXECUTE FUNCTION sync_auditar();
ALTER TABLE sync_esquemas ENABLE ALWAYS TRIGGER sync_auditar;
ALTER TABLE sync_esquemas ENABLE ALWAYS TRIGGER sync_auditar_alta;

-- "esquema": the description that the upload names. "esParte": its rows are only some of the table's.
ALTER TABLE sync_uploads ADD COLUMN esquema text, ADD COLUMN "esParte" boolean;
