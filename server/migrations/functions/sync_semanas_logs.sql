-- The partitions of sync_logs, oldest first; "separandose": a DETACH CONCURRENTLY of it did not come to its end.
CREATE OR REPLACE FUNCTION sync_semanas_logs() RETURNS TABLE (tabla text, desde timestamptz, hasta timestamptz, separandose boolean)
LANGUAGE sql STABLE AS $$
  SELECT c.relname::text, coalesce(b.limites[1]::timestamptz, '-infinity'), b.limites[2]::timestamptz, i.inhdetachpending
  FROM pg_inherits i
  JOIN pg_class c ON c.oid = i.inhrelid
  CROSS JOIN LATERAL (SELECT regexp_match(pg_get_expr(c.relpartbound, c.oid),
    'FROM \((?:''([^'']+)''|MINVALUE)\) TO \(''([^'']+)''\)') AS limites) b
  WHERE i.inhparent = to_regclass('sync_logs')
  ORDER BY 3
$$;
REVOKE ALL ON FUNCTION sync_semanas_logs() FROM PUBLIC;
