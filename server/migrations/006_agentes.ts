import type { MigrationBuilder } from 'node-pg-migrate';

/** The public keys of the agents: what the server tells an agent in secret is sealed under its key. */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
CREATE TABLE sync_agents (
  "tenantId" text NOT NULL,
  id text NOT NULL CHECK (id ~ '^[0-9a-f]{32}$'),
  "clavePublica" text NOT NULL,
  autorizado boolean NOT NULL,
  "createdAt" timestamptz(3) NOT NULL DEFAULT now(),
  PRIMARY KEY ("tenantId", id)
);
-- As 004 does it for configurations and keys.
CREATE TRIGGER sync_auditar AFTER INSERT OR UPDATE OR DELETE ON sync_agents
  FOR EACH ROW EXECUTE FUNCTION sync_auditar();
CREATE TRIGGER sync_auditar_vaciado BEFORE TRUNCATE ON sync_agents
  FOR EACH STATEMENT EXECUTE FUNCTION sync_auditar();
ALTER TABLE sync_agents ENABLE ALWAYS TRIGGER sync_auditar;
ALTER TABLE sync_agents ENABLE ALWAYS TRIGGER sync_auditar_vaciado;
`);
}

export const down = false;
