-- NULL where the value is not one of those that "activo" may take. IMMUTABLE: staging tables generate columns with it.
CREATE OR REPLACE FUNCTION sync_activo(v jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE
    WHEN v IS NULL OR v IN ('true', 'null', '1', '"true"', '"1"') THEN true
    WHEN v IN ('false', '0', '"false"', '"0"') THEN false
  END
$$;
