-- A value as the audit may hold it: of the connections only what is known to be no secret, however they are written.
CREATE OR REPLACE FUNCTION sync_ocultar(campo text, v jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF v IS NULL OR v = 'null' THEN RETURN v; END IF;
  IF campo IN ('sqlServerPassword', 'hash', 'valor') THEN RETURN '"***"'; END IF;
  IF campo <> 'sqlServerConexiones' AND NOT starts_with(campo, 'sqlServerConexiones.') THEN RETURN v; END IF;
  IF jsonb_typeof(v) = 'object' THEN
    RETURN (SELECT coalesce(jsonb_object_agg(key, sync_ocultar(campo || '.' || key, value)), '{}') FROM jsonb_each(v));
  END IF;
  IF jsonb_typeof(v) <> 'array' AND campo ~ '\.(host|port|database|user)$' THEN RETURN v; END IF;
  RETURN '"***"';
END
$$;
REVOKE ALL ON FUNCTION sync_ocultar(text, jsonb) FROM PUBLIC;
