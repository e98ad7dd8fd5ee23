import type { MigrationBuilder } from 'node-pg-migrate';

/** More SQL Server databases of a tenant than the specification's one: `{"almacen": {host, port, database, user, password}}`. */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
ALTER TABLE sync_configurations ADD COLUMN "sqlServerConexiones" jsonb NOT NULL DEFAULT '{}'
  CHECK (jsonb_typeof("sqlServerConexiones") = 'object');

-- A value as the audit may hold it: of the connections only what is known to be no secret, however they are written.
CREATE FUNCTION sync_ocultar(campo text, v jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF v IS NULL OR v = 'null' THEN RETURN v; END IF;
  IF campo IN ('sqlServerPassword', 'hash', 'valor') THEN RETURN '"***"'; END IF;
  IF campo <> 'sqlServerConexiones' AND NOT starts_with(campo, 'sqlServerConexiones.') THEN RETURN v; END IF;
  IF jsonb_typeof(v) = 'object' THEN
    RETURN (SELECT coalesce(jsonb_object_agg(key, sync_ocultar(campo || '.' || key, value)), '{}') FROM jsonb_each(v));
  END IF;
  IF jsonb_typeof(v) <> 'array' AND campo ~ '\\.(host|port|database|user)$' THEN RETURN v; END IF;
  RETURN '"***"';
END
$$;

-- As 004 made it, but for what is masked.
CREATE OR REPLACE FUNCTION sync_anotar(op text, nombre_tabla text, antes jsonb, despues jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  -- They change with every change, or with every use.
  ruido CONSTANT text[] := ARRAY['lastUsedAt', 'ultimaModificacion', 'updatedAt'];
  fila jsonb := coalesce(despues, antes);
  diferencia jsonb;
BEGIN
  SELECT jsonb_agg(jsonb_build_object('campo', campo, 'antes', sync_ocultar(campo, valor_antes),
                                      'despues', sync_ocultar(campo, valor_despues)))
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
REVOKE ALL ON FUNCTION sync_ocultar(text, jsonb) FROM PUBLIC;
`);
}

export const down = false;
