-- A scalar as text; NULL for null, empty text, objects and arrays, which cannot be a key. IMMUTABLE: staging tables generate
-- columns with it.
CREATE OR REPLACE FUNCTION sync_escalar(v jsonb) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN jsonb_typeof(v) IN ('string', 'number', 'boolean') THEN nullif(v #>> '{}', '') END
$$;
