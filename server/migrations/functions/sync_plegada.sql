-- Two keys of which this is the same are one for SQL Server's usual collations (CI_AS): case and blanks at the end do not count.
-- Most keys are ASCII, for which the C collation does, at a fraction of the cost.
DO $$
DECLARE
  otras text := CASE WHEN EXISTS (SELECT FROM pg_collation WHERE collname = 'und-x-icu') THEN 'und-x-icu' ELSE 'default' END;
BEGIN
  EXECUTE format('CREATE OR REPLACE FUNCTION sync_plegada(clave text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS %L', format(
    'SELECT CASE WHEN octet_length(clave) = length(clave) THEN lower(rtrim(clave) COLLATE "C")
                 ELSE lower(rtrim(clave) COLLATE %I) COLLATE "C" END', otras));
END
$$;
