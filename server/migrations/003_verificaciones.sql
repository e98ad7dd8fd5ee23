-- How comparisons of a table with its source ended (`ax-sync-client verify`): of each table and direction the newest 50.
CREATE TABLE sync_verificaciones (
  id bigint GENERATED ALWAYS AS IDENTITY,
  "tenantId" text NOT NULL,
  -- Of a registered agent; '' of whoever is none.
  agente text NOT NULL,
  tabla text NOT NULL,
  direccion text NOT NULL CHECK (direccion IN ('upload', 'download')),
  estado text NOT NULL CHECK (estado IN ('iguales', 'diferencias', 'incompleta', 'sin_comparar')),
  "filasOrigen" bigint NOT NULL,
  "filasDestino" bigint NOT NULL,
  iguales bigint NOT NULL,
  distintas bigint NOT NULL,
  faltan bigint NOT NULL,
  sobran bigint NOT NULL,
  "enVuelo" bigint NOT NULL,
  reparadas bigint NOT NULL,
  -- [{"diferencia", "clave", "columnas"}], at most 20 of each kind; no values.
  muestras jsonb NOT NULL,
  mensaje text,
  inicio timestamptz(3) NOT NULL,
  fin timestamptz(3) NOT NULL,
  PRIMARY KEY ("tenantId", tabla, direccion, id)
);
REVOKE ALL ON sync_verificaciones FROM PUBLIC;
