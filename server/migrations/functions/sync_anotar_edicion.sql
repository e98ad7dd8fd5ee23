-- Notes in sync_ediciones whose rows were changed. SECURITY DEFINER: whoever may write there need not be able to write here.
CREATE OR REPLACE FUNCTION sync_anotar_edicion() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT AS $$
DECLARE
  subida text := current_setting('app.subida', true);
  -- Which one this transaction noted last: to look is a third of the cost of noting it again. A savepoint that is rolled back
  -- takes both back.
  anotada text := current_setting('app.anotada', true);
  cual text;
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    -- What was never merged has no ledger.
    INSERT INTO sync_ediciones ("tenantId", tipo_campo) SELECT "tenantId", tipo_campo FROM sync_cerrojos ON CONFLICT DO NOTHING;
    RETURN NULL;
  END IF;
  IF TG_OP <> 'DELETE' AND subida IS DISTINCT FROM NEW.tipo_campo THEN
    cual := length(NEW."tenantId") || ':' || NEW."tenantId" || NEW.tipo_campo;
    IF cual IS DISTINCT FROM anotada THEN
      INSERT INTO sync_ediciones ("tenantId", tipo_campo) VALUES (NEW."tenantId", NEW.tipo_campo) ON CONFLICT DO NOTHING;
      PERFORM set_config('app.anotada', cual, true);
    END IF;
  END IF;
  IF TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND OLD."tenantId" = NEW."tenantId" AND OLD.tipo_campo = NEW.tipo_campo) THEN
    RETURN NULL;
  END IF;
  IF subida IS DISTINCT FROM OLD.tipo_campo THEN
    cual := length(OLD."tenantId") || ':' || OLD."tenantId" || OLD.tipo_campo;
    IF cual IS DISTINCT FROM anotada THEN
      INSERT INTO sync_ediciones ("tenantId", tipo_campo) VALUES (OLD."tenantId", OLD.tipo_campo) ON CONFLICT DO NOTHING;
      PERFORM set_config('app.anotada', cual, true);
    END IF;
  END IF;
  RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION sync_anotar_edicion() FROM PUBLIC;
