import type { MigrationBuilder } from 'node-pg-migrate';

/**
 * Roles without login under which a tenant's SQL runs, and the row-level security that shows it only its own rows.
 *
 * The tenant of a transaction is a setting, and a setting can be overwritten by the SQL itself; so it is signed with a
 * secret that only the owner reads, and a tenant can do no more than repeat its own.
 *
 * Roles belong to the whole cluster: they may exist already. A user without CREATEROLE needs them made beforehand
 * (with membership), which the error says.
 */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
DO $$
DECLARE
  rol text;
BEGIN
  FOREACH rol IN ARRAY ARRAY['ax_sync_tenant', 'ax_sync_consulta'] LOOP
    BEGIN
      IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = rol) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', rol);
      END IF;
    EXCEPTION
      WHEN duplicate_object OR unique_violation THEN NULL;
      WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'falta el rol %: créelo un administrador con CREATE ROLE % NOLOGIN; GRANT % TO %',
          rol, rol, rol, current_user;
    END;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = rol AND (rolsuper OR rolbypassrls)) THEN
      RAISE EXCEPTION 'el rol % no puede ser SUPERUSER ni BYPASSRLS', rol;
    END IF;
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AND NOT pg_has_role(current_user, rol, 'MEMBER')
    THEN
      EXECUTE format('GRANT %I TO CURRENT_USER', rol);
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), rol);
  END LOOP;
END
$$;

CREATE TABLE sync_secretos (nombre text PRIMARY KEY, valor text NOT NULL);
REVOKE ALL ON sync_secretos FROM PUBLIC;
INSERT INTO sync_secretos VALUES ('firma', gen_random_uuid()::text || gen_random_uuid()::text);

CREATE FUNCTION sync_firma(tenant text) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT encode(sha256(convert_to(valor || pg_backend_pid()::text || ':' || tenant, 'UTF8')), 'hex')
  FROM sync_secretos WHERE nombre = 'firma'
$$;
REVOKE ALL ON FUNCTION sync_firma(text) FROM PUBLIC;

-- Sets the tenant for the rest of the transaction.
CREATE FUNCTION sync_fijar_tenant(tenant text) RETURNS void LANGUAGE sql VOLATILE AS $$
  SELECT set_config('app.tenant_id', tenant, true), set_config('app.tenant_firma', sync_firma(tenant), true)
$$;
REVOKE ALL ON FUNCTION sync_fijar_tenant(text) FROM PUBLIC;

-- The tenant of the transaction; NULL, which sees nothing, when none was set or the signature is another's.
CREATE FUNCTION sync_tenant_actual() RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
DECLARE
  tenant text := current_setting('app.tenant_id', true);
BEGIN
  IF tenant IS NULL OR sync_firma(tenant) IS DISTINCT FROM current_setting('app.tenant_firma', true) THEN
    RETURN NULL;
  END IF;
  RETURN tenant;
END
$$;
REVOKE ALL ON FUNCTION sync_tenant_actual() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sync_tenant_actual() TO ax_sync_tenant, ax_sync_consulta;

DO $$
DECLARE
  esquema text := current_schema();
  propio boolean := (SELECT rolsuper FROM pg_roles WHERE rolname = current_user);
BEGIN
  -- What a definer's function calls must not depend on the caller's path.
  EXECUTE format('ALTER FUNCTION sync_tenant_actual() SET search_path = %I, pg_temp', esquema);
  EXECUTE format('ALTER FUNCTION sync_ejecutar(text) SET search_path = %I, pg_temp', esquema);
  -- Only a superuser gives a function to a role that may not create in the schema.
  IF NOT propio THEN EXECUTE format('GRANT CREATE ON SCHEMA %I TO ax_sync_tenant', esquema); END IF;
  GRANT EXECUTE ON FUNCTION sync_ejecutar(text) TO CURRENT_USER;
  ALTER FUNCTION sync_ejecutar(text) OWNER TO ax_sync_tenant;
  IF NOT propio THEN EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM ax_sync_tenant', esquema); END IF;
END
$$;

ALTER TABLE parametros_maestros ALTER COLUMN "tenantId" SET DEFAULT sync_tenant_actual();
ALTER TABLE parametros_maestros ENABLE ROW LEVEL SECURITY;
CREATE POLICY sync_solo_su_tenant ON parametros_maestros TO ax_sync_tenant, ax_sync_consulta
  USING ("tenantId" = (SELECT sync_tenant_actual())) WITH CHECK ("tenantId" = (SELECT sync_tenant_actual()));
GRANT SELECT, INSERT, UPDATE, DELETE ON parametros_maestros TO ax_sync_tenant;
GRANT SELECT ON parametros_maestros TO ax_sync_consulta;
`);
}

export const down = false;
