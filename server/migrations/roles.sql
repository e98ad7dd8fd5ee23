-- The roles without login under which a tenant's SQL runs. They belong to the whole cluster, so they may exist already, or not
-- yet where a backup was restored: every `migrate` looks. A user without CREATEROLE needs them made beforehand (with
-- membership), which the error says.
DO $$
DECLARE
  rol text;
  -- Since PostgreSQL 16 who creates a role may grant it, itself included, but is no more than that.
  pertenencia CONSTANT text := CASE WHEN current_setting('server_version_num')::integer < 160000 THEN 'MEMBER' ELSE 'SET' END;
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
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AND NOT pg_has_role(current_user, rol, pertenencia)
    THEN
      EXECUTE format('GRANT %I TO CURRENT_USER', rol);
    END IF;
    IF NOT EXISTS (
      SELECT FROM pg_namespace n, aclexplode(n.nspacl) a
      WHERE n.oid = current_schema()::regnamespace AND a.grantee = rol::regrole AND a.privilege_type = 'USAGE'
    ) THEN
      EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), rol);
    END IF;
  END LOOP;
END
$$;
