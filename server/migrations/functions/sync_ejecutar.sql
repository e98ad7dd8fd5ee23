-- Runs one statement of a phase; how many rows it touched. SECURITY DEFINER, owned by ax_sync_tenant: inside such a function
-- PostgreSQL refuses SET ROLE, RESET ROLE and SET SESSION AUTHORIZATION, and EXECUTE refuses COMMIT and ROLLBACK, so the SQL
-- can neither leave the role nor end the transaction.
-- No error text of megabytes is passed on (a value that cannot be converted stands in it whole): the server would hold it.
CREATE OR REPLACE FUNCTION sync_ejecutar(consulta text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT AS $$
DECLARE
  filas bigint;
  mensaje text;
  detalle text;
  pista text;
BEGIN
  BEGIN
    EXECUTE consulta;
    GET DIAGNOSTICS filas = ROW_COUNT;
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS mensaje = MESSAGE_TEXT, detalle = PG_EXCEPTION_DETAIL, pista = PG_EXCEPTION_HINT;
    IF pg_catalog.length(mensaje) + pg_catalog.length(detalle) + pg_catalog.length(pista) <= 4000 THEN
      RAISE;
    END IF;
    RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = pg_catalog.left(mensaje, 1000) || '…',
      DETAIL = pg_catalog.left(detalle, 1000), HINT = pg_catalog.left(pista, 1000);
  END;
  IF pg_catalog.current_setting('transaction_read_only') <> 'off' THEN
    RAISE insufficient_privilege USING MESSAGE = 'a phase may not make its transaction read only';
  END IF;
  -- Large objects are made by functions, not by statements; what its role owns would be every tenant's.
  IF EXISTS (
    SELECT FROM pg_catalog.pg_shdepend d JOIN pg_catalog.pg_roles r ON r.oid = d.refobjid
    WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND d.deptype = 'o'
      AND r.rolname = current_user AND d.classid <> 'pg_catalog.pg_proc'::pg_catalog.regclass
  ) THEN
    RAISE insufficient_privilege USING MESSAGE = 'a phase may not create objects';
  END IF;
  RETURN filas;
END
$$;

-- Only a superuser gives a function to a role that may not create in the schema.
DO $$
BEGIN
  EXECUTE format('GRANT CREATE ON SCHEMA %I TO ax_sync_tenant', current_schema());
  ALTER FUNCTION sync_ejecutar(text) OWNER TO ax_sync_tenant;
  EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM ax_sync_tenant', current_schema());
END
$$;
-- Its owner could alter and call it: EXECUTE is the server's alone.
REVOKE ALL ON FUNCTION sync_ejecutar(text) FROM PUBLIC, ax_sync_tenant;
GRANT EXECUTE ON FUNCTION sync_ejecutar(text) TO CURRENT_USER;
