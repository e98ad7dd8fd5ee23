-- An operator's plain UPDATE of a configuration has to reach the agents, which ask by version.
CREATE OR REPLACE FUNCTION sync_configuracion_cambiada() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.version := OLD.version + 1;
  NEW."ultimaModificacion" := clock_timestamp();
  NEW."updatedAt" := clock_timestamp();
  RETURN NEW;
END
$$;
