import type { MigrationBuilder } from 'node-pg-migrate';

/**
 * Rotation of keys, and the audit: triggers note every change of a configuration, a key or a secret in sync_audit, whoever
 * makes it and however. Nothing there can be changed or removed by a statement, its owner's included; who may change the
 * schema (its owner, a superuser) can take the triggers away, which `findAuditGaps` reports.
 */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
-- "graceUntil": set when the key that came in its place ("rotatedFrom" of that one) was first used.
ALTER TABLE sync_api_keys ADD COLUMN "rotatedFrom" text, ADD COLUMN "graceUntil" timestamptz(3);
CREATE INDEX idx_sync_api_keys_busqueda ON sync_api_keys (substr(hash, 1, 8), "tenantId");

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

-- The parts of a document by the piece of path that leads to each; NULL for what has none. Elements of a list go by their
-- "nombre", so that a table put in front of the others is one difference; a list without such names is one value.
CREATE FUNCTION sync_partes(v jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE jsonb_typeof(v)
    WHEN 'object' THEN (SELECT coalesce(jsonb_object_agg('.' || key, value), '{}') FROM jsonb_each(v))
    WHEN 'array' THEN (
      SELECT CASE WHEN count(*) = count(DISTINCT e ->> 'nombre')
                  THEN coalesce(jsonb_object_agg('[' || (e ->> 'nombre') || ']', e) FILTER (WHERE e ->> 'nombre' IS NOT NULL),
                                '{}') END
      FROM jsonb_array_elements(v) AS e)
  END
$$;

CREATE FUNCTION sync_diferencia(ruta text, antes jsonb, despues jsonb, nivel integer)
RETURNS TABLE (campo text, valor_antes jsonb, valor_despues jsonb) LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  a jsonb := sync_partes(antes);
  d jsonb := sync_partes(despues);
  pieza text;
BEGIN
  IF antes IS NOT DISTINCT FROM despues THEN RETURN; END IF;
  -- No configuration that validates is as deep as that.
  IF a IS NULL OR d IS NULL OR jsonb_typeof(antes) <> jsonb_typeof(despues) OR nivel > 20 THEN
    RETURN QUERY SELECT ruta, antes, despues;
    RETURN;
  END IF;
  FOR pieza IN SELECT jsonb_object_keys(a) UNION SELECT jsonb_object_keys(d) ORDER BY 1 LOOP
    RETURN QUERY SELECT * FROM sync_diferencia(ruta || pieza, a -> pieza, d -> pieza, nivel + 1);
  END LOOP;
  -- The order of a list is a difference too.
  IF jsonb_typeof(antes) = 'array' THEN
    a := jsonb_path_query_array(antes, '$[*].nombre');
    d := jsonb_path_query_array(despues, '$[*].nombre');
    IF a <> d THEN RETURN QUERY SELECT ruta || '[]', a, d; END IF;
  END IF;
END
$$;

CREATE FUNCTION sync_anotar(op text, nombre_tabla text, antes jsonb, despues jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  secretos CONSTANT text[] := ARRAY['sqlServerPassword', 'hash', 'valor'];
  -- They change with every change, or with every use.
  ruido CONSTANT text[] := ARRAY['lastUsedAt', 'ultimaModificacion', 'updatedAt'];
  fila jsonb := coalesce(despues, antes);
  diferencia jsonb;
BEGIN
  SELECT jsonb_agg(jsonb_build_object(
           'campo', campo,
           'antes', CASE WHEN campo = ANY (secretos) AND valor_antes <> 'null' THEN '"***"' ELSE valor_antes END,
           'despues', CASE WHEN campo = ANY (secretos) AND valor_despues <> 'null' THEN '"***"' ELSE valor_despues END))
  INTO diferencia
  FROM (SELECT ltrim(d.campo, '.') AS campo, valor_antes, valor_despues
        FROM sync_diferencia('', coalesce(antes, '{}') - ruido, coalesce(despues, '{}') - ruido, 0) AS d) AS x;
  IF diferencia IS NULL THEN RETURN; END IF;
  INSERT INTO sync_audit (actor, origen, operacion, tabla, registro, "tenantId", cambios) VALUES (
    coalesce(nullif(current_setting('app.audit_actor', true), ''), session_user),
    coalesce(nullif(current_setting('app.audit_origen', true), ''), host(inet_client_addr()), 'local'),
    op, nombre_tabla, coalesce(fila ->> 'id', fila ->> 'nombre', ''), fila ->> 'tenantId', diferencia);
END
$$;

-- SECURITY DEFINER: a login that may change a configuration need not be able to write here.
CREATE FUNCTION sync_auditar() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  fila jsonb;
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    FOR fila IN EXECUTE format('SELECT to_jsonb(t) FROM %I.%I t', TG_TABLE_SCHEMA, TG_TABLE_NAME) LOOP
      PERFORM sync_anotar(TG_OP, TG_TABLE_NAME, fila, NULL);
    END LOOP;
  ELSE
    PERFORM sync_anotar(TG_OP, TG_TABLE_NAME, to_jsonb(OLD), to_jsonb(NEW));
  END IF;
  RETURN NULL;
END
$$;

CREATE FUNCTION sync_audit_inmutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- One level is this trigger, the other the one that notes a change.
  IF TG_OP = 'INSERT' AND pg_trigger_depth() > 1 THEN RETURN NULL; END IF;
  RAISE EXCEPTION 'sync_audit solo crece, y solo por los cambios que anota: % no se admite', TG_OP
    USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER sync_audit_inmutable BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON sync_audit
  FOR EACH STATEMENT EXECUTE FUNCTION sync_audit_inmutable();
-- ALWAYS: also for a session that calls itself a replica.
ALTER TABLE sync_audit ENABLE ALWAYS TRIGGER sync_audit_inmutable;

DO $$
DECLARE
  esquema text := current_schema();
  tabla text;
  funcion text;
BEGIN
  EXECUTE format('ALTER FUNCTION sync_auditar() SET search_path = %I, pg_temp', esquema);
  FOREACH tabla IN ARRAY ARRAY['sync_configurations', 'sync_api_keys', 'sync_secretos'] LOOP
    EXECUTE format('CREATE TRIGGER sync_auditar AFTER INSERT OR UPDATE OR DELETE ON %I
      FOR EACH ROW EXECUTE FUNCTION sync_auditar()', tabla);
    -- Before: afterwards there is nothing left to note.
    EXECUTE format('CREATE TRIGGER sync_auditar_vaciado BEFORE TRUNCATE ON %I
      FOR EACH STATEMENT EXECUTE FUNCTION sync_auditar()', tabla);
    EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER sync_auditar', tabla);
    EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER sync_auditar_vaciado', tabla);
  END LOOP;
  FOREACH funcion IN ARRAY ARRAY['sync_partes(jsonb)', 'sync_diferencia(text, jsonb, jsonb, integer)',
    'sync_anotar(text, text, jsonb, jsonb)', 'sync_auditar()', 'sync_audit_inmutable()'] LOOP
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', funcion);
  END LOOP;
END
$$;
`);
}

export const down = false;
