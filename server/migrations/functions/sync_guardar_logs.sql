-- Stores entries of sync_logs but those that are there already, by their id; returns how many. An entry without an id is new. Where its
-- week has no partition (nobody tidied for a month, or the clock was set), it is made.
CREATE OR REPLACE FUNCTION sync_guardar_logs(tenant text, configuracion text, entradas jsonb) RETURNS integer
LANGUAGE plpgsql
-- A plan is kept, and a week that was empty then would be read whole.
SET enable_seqscan = off AS $$
DECLARE
  guardadas integer;
BEGIN
  FOR intento IN 1 .. 2 LOOP
    BEGIN
      INSERT INTO sync_logs (id, "tenantId", "configId", direccion, tabla, fase, "ejecutadoEn", estado, "registrosAfectados",
        mensaje, "errorDetalle", "duracionMs", metadatos, "fechaInicio", "fechaFin")
      SELECT coalesce(e.id, sync_nuevo_id()), tenant, configuracion, e.direccion, e.tabla, e.fase, e."ejecutadoEn", e.estado,
        e."registrosAfectados", e.mensaje, e."errorDetalle", e."duracionMs", e.metadatos, e."fechaInicio", e."fechaFin"
      FROM jsonb_to_recordset(entradas) AS e (id text, direccion text, tabla text, fase text, "ejecutadoEn" text,
        estado text, "registrosAfectados" integer, mensaje text, "errorDetalle" text, "duracionMs" integer,
        metadatos jsonb, "fechaInicio" timestamptz, "fechaFin" timestamptz)
      -- A scalar, not EXISTS, and not "=" for the tenant: the key of a week is the one index that this can use. A plan that was made
      -- while a week was empty would else read all entries of the tenant for each one.
      WHERE e.id IS NULL OR (
        SELECT true FROM sync_logs l WHERE l.id = e.id AND l."tenantId" IS NOT DISTINCT FROM tenant LIMIT 1) IS NULL
      -- Of the week's own key: the same entry at the same moment, or twice in one batch.
      ON CONFLICT DO NOTHING;
      GET DIAGNOSTICS guardadas = ROW_COUNT;
      RETURN guardadas;
    EXCEPTION WHEN check_violation THEN
      IF intento = 2 THEN RAISE; END IF;
      PERFORM sync_semana_logs(now());
    END;
  END LOOP;
END
$$;
REVOKE ALL ON FUNCTION sync_guardar_logs(text, text, jsonb) FROM PUBLIC;
