import type { MigrationBuilder } from 'node-pg-migrate';

/** How a received document becomes a row: immutable, so that staging tables can generate columns with them. */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
-- A scalar as text; NULL for null, empty text, objects and arrays, which cannot be a key.
CREATE FUNCTION sync_escalar(v jsonb) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN jsonb_typeof(v) IN ('string', 'number', 'boolean') THEN nullif(v #>> '{}', '') END
$$;

-- NULL where the value is not one of those that "activo" may take.
CREATE FUNCTION sync_activo(v jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE
    WHEN v IS NULL OR v IN ('true', 'null', '1', '"true"', '"1"') THEN true
    WHEN v IN ('false', '0', '"false"', '"0"') THEN false
  END
$$;

-- Runs a phase of the configuration. Its owner is made ax_sync_tenant by the next migration: inside a SECURITY DEFINER
-- function PostgreSQL refuses SET ROLE, RESET ROLE and SET SESSION AUTHORIZATION, and EXECUTE refuses COMMIT and
-- ROLLBACK, so the SQL can neither leave the role nor end the transaction.
CREATE FUNCTION sync_ejecutar(consulta text) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
  filas bigint;
BEGIN
  EXECUTE consulta;
  GET DIAGNOSTICS filas = ROW_COUNT;
  RETURN filas;
END
$$;
REVOKE ALL ON FUNCTION sync_ejecutar(text) FROM PUBLIC;
`);
}

export const down = false;
