-- Gives what a superuser's migration made to the owner of the database, as whom the server connects. Does nothing for a user
-- that is no superuser, or where the owner of the database is one.
DO $$
DECLARE
  dueno name := (SELECT r.rolname FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
                 WHERE d.datname = current_database() AND NOT r.rolsuper);
  uno text;
BEGIN
  IF dueno IS NULL OR NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN RETURN; END IF;
  EXECUTE format('GRANT ax_sync_tenant, ax_sync_consulta TO %I', dueno);
  FOR uno IN SELECT oid::regclass FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND relname ~ '^(sync_|parametros_maestros(_|$))'
      AND relowner = current_user::regrole
  LOOP
    EXECUTE format('ALTER TABLE %s OWNER TO %I', uno, dueno);
  END LOOP;
  FOR uno IN SELECT oid::regprocedure FROM pg_proc
    WHERE pronamespace = current_schema()::regnamespace AND proname ~ '^sync_' AND proowner = current_user::regrole
  LOOP
    EXECUTE format('ALTER FUNCTION %s OWNER TO %I', uno, dueno);
  END LOOP;
  FOR uno IN SELECT oid::regprocedure FROM pg_proc
    WHERE pronamespace = current_schema()::regnamespace AND proowner IN ('ax_sync_tenant'::regrole, 'ax_sync_consulta'::regrole)
  LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', uno, dueno);
  END LOOP;
END
$$;
