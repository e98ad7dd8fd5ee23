-- Signs a tenant for this session, with a secret that only the owner reads: a setting can be overwritten by a tenant's SQL,
-- which can do no more than repeat its own.
CREATE OR REPLACE FUNCTION sync_firma(tenant text) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT encode(sha256(convert_to(valor || pg_backend_pid()::text || ':' || tenant, 'UTF8')), 'hex')
  FROM sync_secretos WHERE nombre = 'firma'
$$;
REVOKE ALL ON FUNCTION sync_firma(text) FROM PUBLIC;
