-- The triggers that note edits, as they are; NULL where one is missing or switched off. ALTER TABLE writes their rows in pg_trigger
-- anew, so that one that was off for a while is another one.
CREATE OR REPLACE FUNCTION sync_vigilancia() RETURNS text LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN count(*) = 4 THEN string_agg(oid::text || ':' || xmin::text, ',' ORDER BY tgname) END
  FROM pg_trigger
  WHERE tgrelid = to_regclass('parametros_maestros') AND tgenabled = 'A'
    AND tgname IN ('sync_edicion_alta', 'sync_edicion_cambio', 'sync_edicion_baja', 'sync_edicion_vaciado')
$$;
REVOKE ALL ON FUNCTION sync_vigilancia() FROM PUBLIC;
