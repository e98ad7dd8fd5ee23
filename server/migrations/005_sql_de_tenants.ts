import type { MigrationBuilder } from 'node-pg-migrate';

/**
 * The functions through which a tenant's SQL runs: SECURITY DEFINER, owned by the roles without login that 003 made.
 * Inside them PostgreSQL refuses every change of the role, by whichever statement or function it is tried.
 *
 * A role that owns a function could alter it and call it, so neither is left to it: the server lets no statement but
 * SELECT, INSERT, UPDATE, DELETE and MERGE through (sync/tenant-sql.ts), and EXECUTE is the server's alone.
 */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
-- Runs one statement of a phase; how many rows it touched.
CREATE OR REPLACE FUNCTION sync_ejecutar(consulta text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  filas bigint;
BEGIN
  EXECUTE consulta;
  GET DIAGNOSTICS filas = ROW_COUNT;
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
CREATE FUNCTION sync_abrir(consulta text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  bajada refcursor := 'sync_bajada';
BEGIN
  OPEN bajada NO SCROLL FOR EXECUTE consulta;
END
$$;

-- The next rows, of one text each; none at the end.
CREATE FUNCTION sync_leer(filas integer) RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  -- Not row by row: that takes half as long again.
  RETURN QUERY EXECUTE 'FETCH FORWARD ' || filas || ' FROM sync_bajada';
END
$$;

DO $$
DECLARE
  esquema text := current_schema();
  propio boolean := (SELECT rolsuper FROM pg_roles WHERE rolname = current_user);
  funcion record;
BEGIN
  FOR funcion IN SELECT * FROM (VALUES
    ('sync_ejecutar(text)', 'ax_sync_tenant'),
    ('sync_abrir(text)', 'ax_sync_consulta'),
    ('sync_leer(integer)', 'ax_sync_consulta')) f (firma, rol)
  LOOP
    EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', funcion.firma, esquema);
    -- Only a superuser gives a function to a role that may not create in the schema.
    IF NOT propio THEN EXECUTE format('GRANT CREATE ON SCHEMA %I TO %I', esquema, funcion.rol); END IF;
    EXECUTE format('ALTER FUNCTION %s OWNER TO %I', funcion.firma, funcion.rol);
    IF NOT propio THEN EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM %I', esquema, funcion.rol); END IF;
    EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC, %I', funcion.firma, funcion.rol);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO CURRENT_USER', funcion.firma);
  END LOOP;
END
$$;

-- One row for each tenant and tipo_campo that was ever merged: who merges locks it. Not an advisory lock: any SQL may take
-- those, and keep another tenant waiting.
CREATE TABLE sync_cerrojos (
  "tenantId" text NOT NULL,
  tipo_campo text NOT NULL,
  PRIMARY KEY ("tenantId", tipo_campo)
);
`);
}

export const down = false;
