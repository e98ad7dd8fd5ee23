-- The next rows of the cursor that sync_abrir opened, of one text each; none at the end.
CREATE OR REPLACE FUNCTION sync_leer(filas integer) RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT AS $$
DECLARE
  mensaje text;
  detalle text;
  pista text;
BEGIN
  -- Not row by row: that takes half as long again.
  RETURN QUERY EXECUTE 'FETCH FORWARD ' || filas || ' FROM sync_bajada';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS mensaje = MESSAGE_TEXT, detalle = PG_EXCEPTION_DETAIL, pista = PG_EXCEPTION_HINT;
  IF pg_catalog.length(mensaje) + pg_catalog.length(detalle) + pg_catalog.length(pista) <= 4000 THEN
    RAISE;
  END IF;
  RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = pg_catalog.left(mensaje, 1000) || '…',
    DETAIL = pg_catalog.left(detalle, 1000), HINT = pg_catalog.left(pista, 1000);
END
$$;

-- Only a superuser gives a function to a role that may not create in the schema.
DO $$
BEGIN
  EXECUTE format('GRANT CREATE ON SCHEMA %I TO ax_sync_consulta', current_schema());
  ALTER FUNCTION sync_leer(integer) OWNER TO ax_sync_consulta;
  EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM ax_sync_consulta', current_schema());
END
$$;
-- Its owner could alter and call it: EXECUTE is the server's alone.
REVOKE ALL ON FUNCTION sync_leer(integer) FROM PUBLIC, ax_sync_consulta;
GRANT EXECUTE ON FUNCTION sync_leer(integer) TO CURRENT_USER;
