-- SECURITY DEFINER: a login that may change a configuration need not be able to write to sync_audit.
CREATE OR REPLACE FUNCTION sync_auditar() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT AS $$
DECLARE
  fila jsonb;
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    FOR fila IN EXECUTE format('SELECT to_jsonb(t) FROM %I.%I t', TG_TABLE_SCHEMA, TG_TABLE_NAME) LOOP
      PERFORM sync_anotar(TG_OP, TG_TABLE_NAME, fila, NULL);
    END LOOP;
  ELSE
    PERFORM sync_anotar(TG_OP, TG_TABLE_NAME, to_jsonb(OLD), to_jsonb(NEW));
  END IF;
  RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION sync_auditar() FROM PUBLIC;
