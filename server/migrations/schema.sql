-- What the migrations make of an empty database. Written by npm run schema, compared by migrate.test.ts.

GRANT USAGE ON SCHEMA public TO PUBLIC;
GRANT USAGE ON SCHEMA public TO ax_sync_consulta;
GRANT USAGE ON SCHEMA public TO ax_sync_tenant;

CREATE SEQUENCE sync_migrations_id_seq AS integer;

CREATE TABLE parametros_maestros (
  "tenantId" text COLLATE "C" NOT NULL DEFAULT sync_tenant_actual(),
  tipo_campo text COLLATE "C" NOT NULL,
  codigo text COLLATE "C" NOT NULL,
  nombre text,
  activo boolean NOT NULL DEFAULT true,
  parametros_json jsonb NOT NULL DEFAULT '{}'::jsonb,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  updated_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT parametros_maestros_pkey PRIMARY KEY ("tenantId", tipo_campo, codigo)
);
CREATE TRIGGER sync_edicion_alta AFTER INSERT ON public.parametros_maestros FOR EACH ROW WHEN ((current_setting('app.subida'::text, true) IS DISTINCT FROM new.tipo_campo)) EXECUTE FUNCTION sync_anotar_edicion(); -- ENABLE ALWAYS
CREATE TRIGGER sync_edicion_baja AFTER DELETE ON public.parametros_maestros FOR EACH ROW WHEN ((current_setting('app.subida'::text, true) IS DISTINCT FROM old.tipo_campo)) EXECUTE FUNCTION sync_anotar_edicion(); -- ENABLE ALWAYS
CREATE TRIGGER sync_edicion_cambio AFTER UPDATE ON public.parametros_maestros FOR EACH ROW WHEN (((current_setting('app.subida'::text, true) IS DISTINCT FROM new.tipo_campo) OR (old.tipo_campo <> new.tipo_campo))) EXECUTE FUNCTION sync_anotar_edicion(); -- ENABLE ALWAYS
CREATE TRIGGER sync_edicion_vaciado BEFORE TRUNCATE ON public.parametros_maestros FOR EACH STATEMENT EXECUTE FUNCTION sync_anotar_edicion(); -- ENABLE ALWAYS
ALTER TABLE parametros_maestros ENABLE ROW LEVEL SECURITY;
CREATE POLICY sync_solo_su_tenant ON parametros_maestros AS PERMISSIVE FOR ALL TO ax_sync_consulta, ax_sync_tenant USING (("tenantId" = ( SELECT sync_tenant_actual() AS sync_tenant_actual))) WITH CHECK (("tenantId" = ( SELECT sync_tenant_actual() AS sync_tenant_actual)));
GRANT DELETE, INSERT, SELECT, UPDATE ON parametros_maestros TO ax_sync_tenant;
GRANT SELECT ON parametros_maestros TO ax_sync_consulta;

CREATE TABLE sync_agents (
  "tenantId" text NOT NULL,
  id text NOT NULL,
  "clavePublica" text NOT NULL,
  autorizado boolean NOT NULL,
  "createdAt" timestamp(3) with time zone NOT NULL DEFAULT now(),
  version text,
  "versionDesde" timestamp(3) with time zone,
  CONSTRAINT sync_agents_id_check CHECK ((id ~ '^[0-9a-f]{32}$'::text)),
  CONSTRAINT sync_agents_pkey PRIMARY KEY ("tenantId", id)
);
CREATE TRIGGER sync_auditar AFTER INSERT OR DELETE OR UPDATE ON public.sync_agents FOR EACH ROW EXECUTE FUNCTION sync_auditar(); -- ENABLE ALWAYS
CREATE TRIGGER sync_auditar_vaciado BEFORE TRUNCATE ON public.sync_agents FOR EACH STATEMENT EXECUTE FUNCTION sync_auditar(); -- ENABLE ALWAYS

CREATE TABLE sync_api_keys (
  id text NOT NULL DEFAULT sync_nuevo_id(),
  "tenantId" text NOT NULL,
  nombre text,
  hash bytea NOT NULL,
  "createdAt" timestamp(3) with time zone NOT NULL DEFAULT now(),
  "lastUsedAt" timestamp(3) with time zone,
  "expiresAt" timestamp(3) with time zone,
  "revokedAt" timestamp(3) with time zone,
  "rotatedFrom" text,
  "graceUntil" timestamp(3) with time zone,
  CONSTRAINT sync_api_keys_hash_check CHECK ((length(hash) = 32)),
  CONSTRAINT sync_api_keys_hash_key UNIQUE (hash),
  CONSTRAINT sync_api_keys_pkey PRIMARY KEY (id)
);
CREATE INDEX idx_sync_api_keys_busqueda ON public.sync_api_keys USING btree (substr(hash, 1, 8), "tenantId");
CREATE INDEX idx_sync_api_keys_tenant ON public.sync_api_keys USING btree ("tenantId");
CREATE TRIGGER sync_auditar AFTER INSERT OR DELETE OR UPDATE ON public.sync_api_keys FOR EACH ROW EXECUTE FUNCTION sync_auditar(); -- ENABLE ALWAYS
CREATE TRIGGER sync_auditar_vaciado BEFORE TRUNCATE ON public.sync_api_keys FOR EACH STATEMENT EXECUTE FUNCTION sync_auditar(); -- ENABLE ALWAYS

CREATE TABLE sync_audit (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  "createdAt" timestamp(3) with time zone NOT NULL DEFAULT clock_timestamp(),
  actor text NOT NULL,
  origen text NOT NULL,
  login text NOT NULL DEFAULT SESSION_USER,
  direccion inet DEFAULT inet_client_addr(),
  aplicacion text NOT NULL DEFAULT current_setting('application_name'::text),
  operacion text NOT NULL,
  tabla text NOT NULL,
  registro text NOT NULL,
  "tenantId" text,
  cambios jsonb NOT NULL,
  CONSTRAINT sync_audit_pkey PRIMARY KEY (id)
);
CREATE INDEX idx_sync_audit_tenant ON public.sync_audit USING btree ("tenantId", id DESC);
CREATE TRIGGER sync_audit_inmutable BEFORE INSERT OR DELETE OR UPDATE OR TRUNCATE ON public.sync_audit FOR EACH STATEMENT EXECUTE FUNCTION sync_audit_inmutable(); -- ENABLE ALWAYS

CREATE TABLE sync_bajas_retenidas (
  id text NOT NULL DEFAULT sync_nuevo_id(),
  "tenantId" text NOT NULL,
  direccion text NOT NULL,
  tabla text NOT NULL,
  agente text NOT NULL DEFAULT ''::text,
  tipo_campo text,
  digest text NOT NULL,
  bajas integer NOT NULL,
  total integer NOT NULL,
  muestra jsonb NOT NULL,
  altas integer NOT NULL DEFAULT 0,
  "muestraAltas" jsonb NOT NULL DEFAULT '[]'::jsonb,
  estado text NOT NULL DEFAULT 'pendiente'::text,
  "resueltaPor" text,
  "resueltaAt" timestamp(3) with time zone,
  "createdAt" timestamp(3) with time zone NOT NULL DEFAULT now(),
  "expiresAt" timestamp(3) with time zone,
  CONSTRAINT sync_bajas_retenidas_direccion_check CHECK ((direccion = ANY (ARRAY['upload'::text, 'download'::text]))),
  CONSTRAINT sync_bajas_retenidas_estado_check CHECK ((estado = ANY (ARRAY['pendiente'::text, 'aprobada'::text, 'descartada'::text]))),
  CONSTRAINT sync_bajas_retenidas_pkey PRIMARY KEY (id),
  CONSTRAINT "sync_bajas_retenidas_tenantId_direccion_tabla_agente_key" UNIQUE ("tenantId", direccion, tabla, agente)
);
CREATE INDEX idx_sync_bajas_retenidas_expires ON public.sync_bajas_retenidas USING btree ("expiresAt");
CREATE TRIGGER sync_auditar AFTER UPDATE ON public.sync_bajas_retenidas FOR EACH ROW WHEN ((old.estado IS DISTINCT FROM new.estado)) EXECUTE FUNCTION sync_auditar(); -- ENABLE ALWAYS
CREATE TRIGGER sync_auditar_alta AFTER INSERT ON public.sync_bajas_retenidas FOR EACH ROW WHEN ((new.estado <> 'pendiente'::text)) EXECUTE FUNCTION sync_auditar(); -- ENABLE ALWAYS

CREATE TABLE sync_cerrojos (
  "tenantId" text NOT NULL,
  tipo_campo text NOT NULL,
  tabla text,
  CONSTRAINT sync_cerrojos_pkey PRIMARY KEY ("tenantId", tipo_campo)
);

CREATE TABLE sync_claves_compartidas (
  "tenantId" text COLLATE "C" NOT NULL,
  tipo_campo text COLLATE "C" NOT NULL,
  codigo text COLLATE "C" NOT NULL,
  tabla text NOT NULL,
  CONSTRAINT sync_claves_compartidas_pkey PRIMARY KEY ("tenantId", tipo_campo, codigo)
);

CREATE TABLE sync_commits (
  "tenantId" text NOT NULL,
  id text NOT NULL,
  tabla text NOT NULL,
  agente text NOT NULL,
  orden bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  lectura text COLLATE "C",
  modo text,
  peticion text,
  digest text,
  resultado jsonb,
  "createdAt" timestamp(3) with time zone NOT NULL DEFAULT now(),
  vigilancia text,
  CONSTRAINT sync_commits_pkey PRIMARY KEY ("tenantId", id)
);
CREATE INDEX idx_sync_commits_tabla ON public.sync_commits USING btree ("tenantId", tabla, orden);

CREATE TABLE sync_configurations (
  id text NOT NULL DEFAULT sync_nuevo_id(),
  "tenantId" text NOT NULL,
  "sqlServerHost" text NOT NULL,
  "sqlServerPort" integer NOT NULL DEFAULT 1433,
  "sqlServerDatabase" text NOT NULL,
  "sqlServerUser" text NOT NULL,
  "sqlServerPassword" text NOT NULL,
  "configuracionTablas" jsonb NOT NULL,
  version integer NOT NULL DEFAULT 1,
  "ultimaModificacion" timestamp(3) with time zone NOT NULL DEFAULT now(),
  activo boolean NOT NULL DEFAULT true,
  "createdAt" timestamp(3) with time zone NOT NULL DEFAULT now(),
  "updatedAt" timestamp(3) with time zone NOT NULL DEFAULT now(),
  "sqlServerConexiones" jsonb NOT NULL DEFAULT '{}'::jsonb,
  "logsDias" integer,
  CONSTRAINT "sync_configurations_logsDias_check" CHECK ((("logsDias" >= 7) AND ("logsDias" <= 3650))),
  CONSTRAINT sync_configurations_pkey PRIMARY KEY (id),
  CONSTRAINT "sync_configurations_sqlServerConexiones_check" CHECK ((jsonb_typeof("sqlServerConexiones") = 'object'::text)),
  CONSTRAINT "sync_configurations_tenantId_check" CHECK ((("tenantId" <> ''::text) AND (length("tenantId") <= 100))),
  CONSTRAINT "sync_configurations_tenantId_key" UNIQUE ("tenantId")
);
CREATE TRIGGER sync_auditar AFTER INSERT OR DELETE OR UPDATE ON public.sync_configurations FOR EACH ROW EXECUTE FUNCTION sync_auditar(); -- ENABLE ALWAYS
CREATE TRIGGER sync_auditar_vaciado BEFORE TRUNCATE ON public.sync_configurations FOR EACH STATEMENT EXECUTE FUNCTION sync_auditar(); -- ENABLE ALWAYS
CREATE TRIGGER sync_configuracion_cambiada BEFORE UPDATE ON public.sync_configurations FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION sync_configuracion_cambiada();

CREATE TABLE sync_ediciones (
  "tenantId" text COLLATE "C" NOT NULL,
  tipo_campo text COLLATE "C" NOT NULL,
  transaccion xid8 NOT NULL DEFAULT pg_current_xact_id(),
  "createdAt" timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT sync_ediciones_pkey PRIMARY KEY ("tenantId", tipo_campo, transaccion, "createdAt")
);

CREATE TABLE sync_esquemas (
  id text NOT NULL DEFAULT sync_nuevo_id(),
  "tenantId" text NOT NULL,
  conexion text NOT NULL DEFAULT ''::text,
  tabla text NOT NULL,
  version integer,
  huella text NOT NULL,
  "primaryKey" jsonb NOT NULL,
  columnas jsonb NOT NULL,
  estado text NOT NULL DEFAULT 'anunciado'::text,
  cambios jsonb NOT NULL DEFAULT '[]'::jsonb,
  agente text NOT NULL DEFAULT ''::text,
  "resueltaPor" text,
  "resueltaAt" timestamp(3) with time zone,
  "createdAt" timestamp(3) with time zone NOT NULL DEFAULT now(),
  desde timestamp(3) with time zone NOT NULL DEFAULT now(),
  hasta timestamp(3) with time zone,
  CONSTRAINT sync_esquemas_estado_check CHECK ((estado = ANY (ARRAY['anunciado'::text, 'vigente'::text, 'pendiente'::text, 'rechazado'::text, 'aprobado'::text, 'anterior'::text]))),
  CONSTRAINT sync_esquemas_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX idx_sync_esquemas_huella ON public.sync_esquemas USING btree ("tenantId", tabla, huella, md5(("primaryKey")::text));
CREATE UNIQUE INDEX idx_sync_esquemas_vigente ON public.sync_esquemas USING btree ("tenantId", tabla) WHERE (estado = 'vigente'::text);
CREATE TRIGGER sync_auditar AFTER UPDATE ON public.sync_esquemas FOR EACH ROW WHEN (((new.estado = 'aprobado'::text) AND (old.estado IS DISTINCT FROM new.estado))) EXECUTE FUNCTION sync_auditar(); -- ENABLE ALWAYS
CREATE TRIGGER sync_auditar_alta AFTER INSERT ON public.sync_esquemas FOR EACH ROW WHEN ((new.estado = 'aprobado'::text)) EXECUTE FUNCTION sync_auditar(); -- ENABLE ALWAYS

CREATE TABLE sync_functions (
  nombre text NOT NULL,
  digest text NOT NULL,
  version text NOT NULL,
  CONSTRAINT sync_functions_pkey PRIMARY KEY (nombre)
);

CREATE TABLE sync_idempotency (
  "tenantId" text NOT NULL,
  clave text NOT NULL,
  peticion text NOT NULL,
  resultado jsonb,
  "createdAt" timestamp(3) with time zone NOT NULL DEFAULT now(),
  digest text,
  CONSTRAINT sync_idempotency_pkey PRIMARY KEY ("tenantId", clave)
);
CREATE INDEX idx_sync_idempotency_created ON public.sync_idempotency USING btree ("createdAt");

CREATE TABLE sync_logs (
  id text NOT NULL DEFAULT sync_nuevo_id(),
  "tenantId" text NOT NULL,
  "configId" text,
  direccion text NOT NULL,
  tabla text NOT NULL,
  fase text,
  "ejecutadoEn" text,
  estado text NOT NULL,
  "registrosAfectados" integer,
  mensaje text,
  "errorDetalle" text,
  "duracionMs" integer,
  metadatos jsonb,
  "fechaInicio" timestamp(3) with time zone NOT NULL,
  "fechaFin" timestamp(3) with time zone,
  "createdAt" timestamp(3) with time zone NOT NULL DEFAULT now()
) PARTITION BY RANGE ("createdAt");
CREATE INDEX idx_sync_logs_estado ON ONLY public.sync_logs USING btree (estado);
CREATE INDEX idx_sync_logs_tabla ON ONLY public.sync_logs USING btree (tabla);
CREATE INDEX idx_sync_logs_tenant_created ON ONLY public.sync_logs USING btree ("tenantId", "createdAt" DESC);

CREATE TABLE sync_logs_diario (
  "tenantId" text NOT NULL,
  direccion text NOT NULL,
  tabla text NOT NULL,
  dia date NOT NULL,
  ejecuciones integer NOT NULL,
  exitosas integer NOT NULL,
  parciales integer NOT NULL,
  errores integer NOT NULL,
  registros bigint NOT NULL,
  "msP50" integer,
  "msMax" integer,
  "msTotal" bigint,
  CONSTRAINT sync_logs_diario_pkey PRIMARY KEY ("tenantId", dia, direccion, tabla)
);
CREATE INDEX idx_sync_logs_diario_dia ON public.sync_logs_diario USING btree (dia);

CREATE TABLE sync_migrations (
  id integer NOT NULL DEFAULT nextval('sync_migrations_id_seq'::regclass),
  name character varying(255) NOT NULL,
  run_on timestamp without time zone NOT NULL,
  CONSTRAINT sync_migrations_pkey PRIMARY KEY (id)
);

CREATE TABLE sync_secretos (
  nombre text NOT NULL,
  valor text NOT NULL,
  CONSTRAINT sync_secretos_pkey PRIMARY KEY (nombre)
);
CREATE TRIGGER sync_auditar AFTER INSERT OR DELETE OR UPDATE ON public.sync_secretos FOR EACH ROW EXECUTE FUNCTION sync_auditar(); -- ENABLE ALWAYS
CREATE TRIGGER sync_auditar_vaciado BEFORE TRUNCATE ON public.sync_secretos FOR EACH STATEMENT EXECUTE FUNCTION sync_auditar(); -- ENABLE ALWAYS

CREATE TABLE sync_tareas (
  nombre text NOT NULL,
  proxima timestamp with time zone NOT NULL,
  CONSTRAINT sync_tareas_pkey PRIMARY KEY (nombre)
);

CREATE UNLOGGED TABLE sync_upload_chunks (
  upload text NOT NULL,
  n integer NOT NULL,
  digest text NOT NULL,
  filas integer NOT NULL,
  CONSTRAINT sync_upload_chunks_pkey PRIMARY KEY (upload, n)
);

CREATE TABLE sync_uploads (
  id text NOT NULL,
  "tenantId" text NOT NULL,
  tabla text NOT NULL,
  "tipoCampo" text NOT NULL,
  modo text NOT NULL,
  resultado jsonb,
  "createdAt" timestamp(3) with time zone NOT NULL DEFAULT now(),
  "expiresAt" timestamp(3) with time zone NOT NULL,
  lectura text,
  "relojAtrasado" boolean,
  esquema text,
  "esParte" boolean,
  base text,
  huellas boolean NOT NULL DEFAULT false,
  CONSTRAINT sync_uploads_modo_check CHECK ((modo = ANY (ARRAY['completo'::text, 'incremental'::text]))),
  CONSTRAINT sync_uploads_pkey PRIMARY KEY (id)
);
CREATE INDEX idx_sync_uploads_expires ON public.sync_uploads USING btree ("expiresAt");
CREATE INDEX idx_sync_uploads_tenant ON public.sync_uploads USING btree ("tenantId");

CREATE TABLE sync_verificaciones (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  "tenantId" text NOT NULL,
  agente text NOT NULL,
  tabla text NOT NULL,
  direccion text NOT NULL,
  estado text NOT NULL,
  "filasOrigen" bigint NOT NULL,
  "filasDestino" bigint NOT NULL,
  iguales bigint NOT NULL,
  distintas bigint NOT NULL,
  faltan bigint NOT NULL,
  sobran bigint NOT NULL,
  "enVuelo" bigint NOT NULL,
  reparadas bigint NOT NULL,
  muestras jsonb NOT NULL,
  mensaje text,
  inicio timestamp(3) with time zone NOT NULL,
  fin timestamp(3) with time zone NOT NULL,
  CONSTRAINT sync_verificaciones_direccion_check CHECK ((direccion = ANY (ARRAY['upload'::text, 'download'::text]))),
  CONSTRAINT sync_verificaciones_estado_check CHECK ((estado = ANY (ARRAY['iguales'::text, 'diferencias'::text, 'incompleta'::text, 'sin_comparar'::text]))),
  CONSTRAINT sync_verificaciones_pkey PRIMARY KEY ("tenantId", tabla, direccion, id)
);

CREATE TABLE sync_version (
  unica boolean NOT NULL DEFAULT true,
  version text NOT NULL,
  minima text NOT NULL,
  CONSTRAINT sync_version_pkey PRIMARY KEY (unica),
  CONSTRAINT sync_version_unica_check CHECK (unica)
);

CREATE TABLE sync_vigilancias (
  firma text NOT NULL,
  nombre text NOT NULL,
  CONSTRAINT sync_vigilancias_pkey PRIMARY KEY (firma)
);

CREATE FUNCTION sync_abrir(consulta text) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path=public, pg_temp;
ALTER ROUTINE sync_abrir(text) OWNER TO ax_sync_consulta;
REVOKE EXECUTE ON ROUTINE sync_abrir(text) FROM ax_sync_consulta;
GRANT EXECUTE ON ROUTINE sync_abrir(text) TO CURRENT_USER;

CREATE FUNCTION sync_activo(v jsonb) RETURNS boolean
  LANGUAGE sql IMMUTABLE PARALLEL SAFE;
GRANT EXECUTE ON ROUTINE sync_activo(jsonb) TO PUBLIC;

CREATE FUNCTION sync_anotar(op text, nombre_tabla text, antes jsonb, despues jsonb) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION sync_anotar_edicion() RETURNS trigger
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path=public, pg_temp;

CREATE FUNCTION sync_audit_inmutable() RETURNS trigger
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION sync_auditar() RETURNS trigger
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path=public, pg_temp;

CREATE FUNCTION sync_configuracion_cambiada() RETURNS trigger
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE;
GRANT EXECUTE ON ROUTINE sync_configuracion_cambiada() TO PUBLIC;

CREATE FUNCTION sync_diferencia(ruta text, antes jsonb, despues jsonb, nivel integer) RETURNS TABLE(campo text, valor_antes jsonb, valor_despues jsonb)
  LANGUAGE plpgsql IMMUTABLE PARALLEL UNSAFE;

CREATE FUNCTION sync_ejecutar(consulta text) RETURNS bigint
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path=public, pg_temp;
ALTER ROUTINE sync_ejecutar(text) OWNER TO ax_sync_tenant;
REVOKE EXECUTE ON ROUTINE sync_ejecutar(text) FROM ax_sync_tenant;
GRANT EXECUTE ON ROUTINE sync_ejecutar(text) TO CURRENT_USER;

CREATE FUNCTION sync_escalar(v jsonb) RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE;
GRANT EXECUTE ON ROUTINE sync_escalar(jsonb) TO PUBLIC;

CREATE FUNCTION sync_fijar_tenant(tenant text) RETURNS void
  LANGUAGE sql VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION sync_firma(tenant text) RETURNS text
  LANGUAGE sql STABLE PARALLEL UNSAFE;

CREATE FUNCTION sync_guardar_logs(tenant text, configuracion text, entradas jsonb) RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET enable_seqscan=off;

CREATE FUNCTION sync_leer(filas integer) RETURNS SETOF text
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path=public, pg_temp;
ALTER ROUTINE sync_leer(integer) OWNER TO ax_sync_consulta;
REVOKE EXECUTE ON ROUTINE sync_leer(integer) FROM ax_sync_consulta;
GRANT EXECUTE ON ROUTINE sync_leer(integer) TO CURRENT_USER;

CREATE FUNCTION sync_nuevo_id() RETURNS text
  LANGUAGE sql VOLATILE PARALLEL SAFE;
GRANT EXECUTE ON ROUTINE sync_nuevo_id() TO PUBLIC;

CREATE FUNCTION sync_ocultar(campo text, v jsonb) RETURNS jsonb
  LANGUAGE plpgsql IMMUTABLE PARALLEL UNSAFE;

CREATE FUNCTION sync_partes(v jsonb) RETURNS jsonb
  LANGUAGE sql IMMUTABLE PARALLEL UNSAFE;

CREATE FUNCTION sync_plegada(clave text) RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE;
GRANT EXECUTE ON ROUTINE sync_plegada(text) TO PUBLIC;

CREATE FUNCTION sync_semana_logs(cuando timestamp with time zone) RETURNS boolean
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE;

CREATE FUNCTION sync_semanas_logs() RETURNS TABLE(tabla text, desde timestamp with time zone, hasta timestamp with time zone, separandose boolean)
  LANGUAGE sql STABLE PARALLEL UNSAFE;

CREATE FUNCTION sync_tenant_actual() RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER SET search_path=public, pg_temp;
GRANT EXECUTE ON ROUTINE sync_tenant_actual() TO ax_sync_consulta;
GRANT EXECUTE ON ROUTINE sync_tenant_actual() TO ax_sync_tenant;

CREATE FUNCTION sync_vigilancia() RETURNS text
  LANGUAGE sql STABLE PARALLEL UNSAFE;
