import type { MigrationBuilder } from 'node-pg-migrate';
import { deriveTipoCampo } from '../../protocol/tenant-config/tipo-campo.ts';
import { quoteLiteral } from '../postgres/copy.ts';

/**
 * Keys of rows: which of them SQL Server takes for one, whose they are where tables share a tipo_campo, and which tables keep
 * the rule of earlier versions. Bajas retenidas: rows that a run would have deactivated or removed, too many to believe, which
 * wait until an administrator decides.
 */
export async function up(pgm: MigrationBuilder): Promise<void> {
  const former = await findFormerKeys(pgm);
  pgm.sql(`
-- Before this version codigo won over a primaryKey of other columns wherever a row had it. Tables that have rows go on so
-- while their primaryKey is this one, until config set says it again: another key would make bajas of all their rows.
CREATE TABLE sync_claves_anteriores (
  "tenantId" text NOT NULL,
  tabla text NOT NULL,
  "primaryKey" jsonb NOT NULL,
  PRIMARY KEY ("tenantId", tabla)
);
REVOKE ALL ON sync_claves_anteriores FROM PUBLIC;
-- Whose a row is, of a tipo_campo that several tables share; of any other it is the table that wrote there last.
CREATE TABLE sync_claves_compartidas (
  "tenantId" text COLLATE "C" NOT NULL,
  tipo_campo text COLLATE "C" NOT NULL,
  codigo text COLLATE "C" NOT NULL,
  tabla text NOT NULL,
  PRIMARY KEY ("tenantId", tipo_campo, codigo)
);
REVOKE ALL ON sync_claves_compartidas FROM PUBLIC;
ALTER TABLE sync_cerrojos ADD COLUMN tabla text;

-- Two keys of which this is the same are one for SQL Server's usual collations (CI_AS): case and blanks at the end do not count.
-- Most keys are ASCII, for which the C collation does, at a fraction of the cost.
DO $$
DECLARE
  otras text := CASE WHEN EXISTS (SELECT FROM pg_collation WHERE collname = 'und-x-icu') THEN 'und-x-icu' ELSE 'default' END;
BEGIN
  EXECUTE format('CREATE FUNCTION sync_plegada(clave text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS %L', format(
    'SELECT CASE WHEN octet_length(clave) = length(clave) THEN lower(rtrim(clave) COLLATE "C")
                 ELSE lower(rtrim(clave) COLLATE %I) COLLATE "C" END', otras));
END
$$;

CREATE TABLE sync_bajas_retenidas (
  id text PRIMARY KEY DEFAULT sync_nuevo_id(),
  "tenantId" text NOT NULL,
  direccion text NOT NULL CHECK (direccion IN ('upload', 'download')),
  tabla text NOT NULL,
  -- Of a download, whose targets are each agent's own; '' for an upload and for an agent that does not say who it is.
  agente text NOT NULL DEFAULT '',
  tipo_campo text,
  -- Of the set of keys, in no order. What an administrator decides, he decides of this set.
  digest text NOT NULL,
  bajas integer NOT NULL,
  total integer NOT NULL,
  -- Keys, at most 20: of the bajas, and of what the same run inserted (a change of key looks like n of each).
  muestra jsonb NOT NULL,
  altas integer NOT NULL DEFAULT 0,
  "muestraAltas" jsonb NOT NULL DEFAULT '[]',
  estado text NOT NULL DEFAULT 'pendiente' CHECK (estado IN ('pendiente', 'aprobada', 'descartada')),
  "resueltaPor" text,
  "resueltaAt" timestamptz(3),
  "createdAt" timestamptz(3) NOT NULL DEFAULT now(),
  -- NULL: what was discarded is not asked again.
  "expiresAt" timestamptz(3),
  UNIQUE ("tenantId", direccion, tabla, agente)
);
CREATE INDEX idx_sync_bajas_retenidas_expires ON sync_bajas_retenidas ("expiresAt");
REVOKE ALL ON sync_bajas_retenidas FROM PUBLIC;
-- What a run retains is no act of a person; what is decided of it is, also by plain SQL.
CREATE TRIGGER sync_auditar AFTER UPDATE ON sync_bajas_retenidas
  FOR EACH ROW WHEN (OLD.estado IS DISTINCT FROM NEW.estado) EXECUTE FUNCTION sync_auditar();
CREATE TRIGGER sync_auditar_alta AFTER INSERT ON sync_bajas_retenidas
  FOR EACH ROW WHEN (NEW.estado <> 'pendiente') EXECUTE FUNCTION sync_auditar();
ALTER TABLE sync_bajas_retenidas ENABLE ALWAYS TRIGGER sync_auditar;
ALTER TABLE sync_bajas_retenidas ENABLE ALWAYS TRIGGER sync_auditar_alta;
`);
  for (const { tenantId, tabla, primaryKey } of former) {
    const values = [tenantId, tabla, JSON.stringify(primaryKey)].map(quoteLiteral);
    pgm.sql(`INSERT INTO sync_claves_anteriores VALUES (${values.join(', ')})`);
  }
}

/** Tables with rows whose primaryKey is another one than codigo. */
async function findFormerKeys(
  pgm: MigrationBuilder,
): Promise<{ tenantId: string; tabla: string; primaryKey: unknown }[]> {
  const found: { tenantId: string; tabla: string; primaryKey: unknown }[] = [];
  const { rows } = await pgm.db.query('SELECT "tenantId", "configuracionTablas" AS tablas FROM sync_configurations');
  for (const { tenantId, tablas } of rows as { tenantId: string; tablas: { tablasSubida?: unknown } | null }[]) {
    for (const tabla of Array.isArray(tablas?.tablasSubida) ? tablas.tablasSubida : []) {
      const { nombre, primaryKey, tipoCampo } = (tabla ?? {}) as Record<string, unknown>;
      if (typeof nombre !== 'string' || primaryKey === undefined || [primaryKey].flat().join() === 'codigo') continue;
      const tipo = typeof tipoCampo === 'string' ? tipoCampo : deriveTipoCampo(nombre);
      const has = 'SELECT FROM parametros_maestros WHERE "tenantId" = $1 AND tipo_campo = $2 LIMIT 1';
      if ((await pgm.db.query(has, [tenantId, tipo])).rows.length === 0) continue;
      if (!found.some((one) => one.tenantId === tenantId && one.tabla === nombre)) {
        found.push({ tenantId, tabla: nombre, primaryKey });
      }
    }
  }
  return found;
}

export const down = false;
