-- The parts of a document by the piece of path that leads to each; NULL for what has none. Elements of a list go by their
-- "nombre", so that a table put in front of the others is one difference; a list without such names is one value.
CREATE OR REPLACE FUNCTION sync_partes(v jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE jsonb_typeof(v)
    WHEN 'object' THEN (SELECT coalesce(jsonb_object_agg('.' || key, value), '{}') FROM jsonb_each(v))
    WHEN 'array' THEN (
      SELECT CASE WHEN count(*) = count(DISTINCT e ->> 'nombre')
                  THEN coalesce(jsonb_object_agg('[' || (e ->> 'nombre') || ']', e) FILTER (WHERE e ->> 'nombre' IS NOT NULL),
                                '{}') END
      FROM jsonb_array_elements(v) AS e)
  END
$$;
REVOKE ALL ON FUNCTION sync_partes(jsonb) FROM PUBLIC;
