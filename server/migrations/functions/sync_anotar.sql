-- Notes in sync_audit how a row differs from what it was.
CREATE OR REPLACE FUNCTION sync_anotar(op text, nombre_tabla text, antes jsonb, despues jsonb) RETURNS void LANGUAGE plpgsql AS $$
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
REVOKE ALL ON FUNCTION sync_anotar(text, text, jsonb, jsonb) FROM PUBLIC;
