-- Sets the tenant for the rest of the transaction.
CREATE OR REPLACE FUNCTION sync_fijar_tenant(tenant text) RETURNS void LANGUAGE sql VOLATILE AS $$
  SELECT set_config('app.tenant_id', tenant, true), set_config('app.tenant_firma', sync_firma(tenant), true)
$$;
REVOKE ALL ON FUNCTION sync_fijar_tenant(text) FROM PUBLIC;
