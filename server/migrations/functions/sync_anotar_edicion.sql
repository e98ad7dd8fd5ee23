-- Notes in sync_ediciones whose rows were changed. SECURITY DEFINER: whoever may write there need not be able to write here.
CREATE OR REPLACE FUNCTION sync_anotar_edicion() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT AS $$
DECLARE
  subida text := current_setting('app.subida', true);
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    -- What was never merged has no ledger.
    INSERT INTO sync_ediciones ("tenantId", tipo_campo) SELECT "tenantId", tipo_campo FROM sync_cerrojos ON CONFLICT DO NOTHING;
    RETURN NULL;
  END IF;
  IF TG_OP <> 'DELETE' AND subida IS DISTINCT FROM NEW.tipo_campo THEN
    INSERT INTO sync_ediciones ("tenantId", tipo_campo) VALUES (NEW."tenantId", NEW.tipo_campo) ON CONFLICT DO NOTHING;
  END IF;
  IF TG_OP = 'DELETE' OR (TG_OP = 'UPDATE' AND (OLD."tenantId", OLD.tipo_campo) <> (NEW."tenantId", NEW.tipo_campo)) THEN
    INSERT INTO sync_ediciones ("tenantId", tipo_campo)
    SELECT OLD."tenantId", OLD.tipo_campo WHERE subida IS DISTINCT FROM OLD.tipo_campo ON CONFLICT DO NOTHING;
  END IF;
  RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION sync_anotar_edicion() FROM PUBLIC;
