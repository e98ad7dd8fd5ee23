-- Nothing in sync_audit is changed or removed, and nothing is added but by the triggers that note a change.
CREATE OR REPLACE FUNCTION sync_audit_inmutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- One level is this trigger, the other the one that notes a change.
  IF TG_OP = 'INSERT' AND pg_trigger_depth() > 1 THEN RETURN NULL; END IF;
  RAISE EXCEPTION 'sync_audit solo crece, y solo por los cambios que anota: % no se admite', TG_OP
    USING ERRCODE = 'insufficient_privilege';
END
$$;
REVOKE ALL ON FUNCTION sync_audit_inmutable() FROM PUBLIC;
