-- Makes the partition of sync_logs for the week of "cuando" (Monday to Monday, UTC), where there is none. Attached, not created as one:
-- that stops neither who writes nor who reads.
CREATE OR REPLACE FUNCTION sync_semana_logs(cuando timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  lunes timestamptz := date_trunc('week', cuando, 'UTC');
  nombre text := 'sync_logs_' || to_char(lunes AT TIME ZONE 'UTC', 'YYYYMMDD');
BEGIN
  IF EXISTS (SELECT FROM sync_semanas_logs() WHERE desde <= cuando AND cuando < hasta) THEN RETURN false; END IF;
  -- One at a time, and then look again.
  LOCK TABLE ONLY sync_logs IN SHARE UPDATE EXCLUSIVE MODE;
  IF EXISTS (SELECT FROM sync_semanas_logs() WHERE desde <= cuando AND cuando < hasta) THEN RETURN false; END IF;
  IF to_regclass(quote_ident(nombre)) IS NOT NULL THEN
    nombre := nombre || '_' || pg_current_xact_id();
  END IF;
  EXECUTE format('CREATE TABLE %I (LIKE sync_logs INCLUDING ALL, PRIMARY KEY (id, "tenantId"))', nombre);
  -- Also where an administrator runs this.
  EXECUTE format('ALTER TABLE %I OWNER TO %I', nombre,
    (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = to_regclass('sync_logs')));
  EXECUTE format('ALTER TABLE sync_logs ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
    nombre, lunes, lunes + interval '168 hours');
  RETURN true;
END
$$;
REVOKE ALL ON FUNCTION sync_semana_logs(timestamptz) FROM PUBLIC;
