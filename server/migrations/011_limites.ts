import type { MigrationBuilder } from 'node-pg-migrate';

/**
 * What a tenant may make large or take from another: ids of log entries are each tenant's own, and the functions of 005 pass on
 * no error text of megabytes (a value that cannot be converted stands in it whole), which the server would have to hold.
 */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
ALTER TABLE sync_logs DROP CONSTRAINT sync_logs_pkey, ADD PRIMARY KEY ("tenantId", id);

-- Runs one statement of a phase; how many rows it touched.
CREATE OR REPLACE FUNCTION sync_ejecutar(consulta text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
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
    ${SHORTEN}
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

-- Opens the cursor sync_bajada on the one query in "consulta"; sync_leer reads on.
CREATE OR REPLACE FUNCTION sync_abrir(consulta text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  bajada refcursor := 'sync_bajada';
  mensaje text;
  detalle text;
  pista text;
BEGIN
  OPEN bajada NO SCROLL FOR EXECUTE consulta;
EXCEPTION WHEN OTHERS THEN
  ${SHORTEN}
END
$$;

-- The next rows, of one text each; none at the end.
CREATE OR REPLACE FUNCTION sync_leer(filas integer) RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  mensaje text;
  detalle text;
  pista text;
BEGIN
  -- Not row by row: that takes half as long again.
  RETURN QUERY EXECUTE 'FETCH FORWARD ' || filas || ' FROM sync_bajada';
EXCEPTION WHEN OTHERS THEN
  ${SHORTEN}
END
$$;

DO $$
DECLARE
  firma text;
BEGIN
  FOREACH firma IN ARRAY ARRAY['sync_ejecutar(text)', 'sync_abrir(text)', 'sync_leer(integer)'] LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', firma, current_schema());
  END LOOP;
END
$$;
`);
}

/** Raises the error again: as it was, or what fits of its texts. */
const SHORTEN = `
    GET STACKED DIAGNOSTICS mensaje = MESSAGE_TEXT, detalle = PG_EXCEPTION_DETAIL, pista = PG_EXCEPTION_HINT;
    IF pg_catalog.length(mensaje) + pg_catalog.length(detalle) + pg_catalog.length(pista) <= 4000 THEN
      RAISE;
    END IF;
    RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = pg_catalog.left(mensaje, 1000) || '…',
      DETAIL = pg_catalog.left(detalle, 1000), HINT = pg_catalog.left(pista, 1000);`;

export const down = false;
