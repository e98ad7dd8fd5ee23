-- Ledgers of agents ("cambios": "huellas"): what the centre has to know to say whether one is still true.

-- What the upload stands on, looked at again by its commit.
ALTER TABLE sync_uploads ADD COLUMN base text, ADD COLUMN huellas boolean NOT NULL DEFAULT false;

-- The triggers below as they were (sync_vigilancia); null: one was missing or switched off.
ALTER TABLE sync_commits ADD COLUMN vigilancia text;

-- Rows of a tipo_campo were changed by something else than the uploads of its table: a row for each transaction that did, so that
-- no two wait for each other, and what commits while an upload merges outlives it. With its time: a number of a transaction
-- comes again where a database was restored into another cluster.
CREATE TABLE sync_ediciones (
  "tenantId" text COLLATE "C" NOT NULL,
  tipo_campo text COLLATE "C" NOT NULL,
  transaccion xid8 NOT NULL DEFAULT pg_current_xact_id(),
  "createdAt" timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY ("tenantId", tipo_campo, transaccion, "createdAt")
);
REVOKE ALL ON sync_ediciones FROM PUBLIC;

-- An upload names the tipo_campo that it writes in app.subida, for its transaction: its own rows pass by the condition alone. (A
-- tenant's SQL cannot set it, as it cannot call set_config; where an operator has accepted that it can, it hides its own rows' edits.)
CREATE TRIGGER sync_edicion_alta AFTER INSERT ON parametros_maestros FOR EACH ROW
  WHEN (current_setting('app.subida', true) IS DISTINCT FROM NEW.tipo_campo) EXECUTE FUNCTION sync_anotar_edicion();
CREATE TRIGGER sync_edicion_cambio AFTER UPDATE ON parametros_maestros FOR EACH ROW
  WHEN (current_setting('app.subida', true) IS DISTINCT FROM NEW.tipo_campo OR OLD.tipo_campo <> NEW.tipo_campo)
  EXECUTE FUNCTION sync_anotar_edicion();
CREATE TRIGGER sync_edicion_baja AFTER DELETE ON parametros_maestros FOR EACH ROW
  WHEN (current_setting('app.subida', true) IS DISTINCT FROM OLD.tipo_campo) EXECUTE FUNCTION sync_anotar_edicion();
CREATE TRIGGER sync_edicion_vaciado BEFORE TRUNCATE ON parametros_maestros
  FOR EACH STATEMENT EXECUTE FUNCTION sync_anotar_edicion();
-- ALWAYS: also for a session that calls itself a replica.
ALTER TABLE parametros_maestros ENABLE ALWAYS TRIGGER sync_edicion_alta;
ALTER TABLE parametros_maestros ENABLE ALWAYS TRIGGER sync_edicion_cambio;
ALTER TABLE parametros_maestros ENABLE ALWAYS TRIGGER sync_edicion_baja;
ALTER TABLE parametros_maestros ENABLE ALWAYS TRIGGER sync_edicion_vaciado;
