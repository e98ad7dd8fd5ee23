import type { MigrationBuilder } from 'node-pg-migrate';

/** Rows that a run would have deactivated or removed, too many to believe: they wait until an administrator decides. */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
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
}

export const down = false;
