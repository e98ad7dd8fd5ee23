-- The tenant of the transaction; NULL, which sees nothing, when none was set or the signature is another's.
CREATE OR REPLACE FUNCTION sync_tenant_actual() RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path FROM CURRENT AS $$
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
