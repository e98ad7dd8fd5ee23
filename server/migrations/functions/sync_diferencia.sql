-- Where two documents differ, and how: a row for each place.
CREATE OR REPLACE FUNCTION sync_diferencia(ruta text, antes jsonb, despues jsonb, nivel integer)
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
REVOKE ALL ON FUNCTION sync_diferencia(text, jsonb, jsonb, integer) FROM PUBLIC;
