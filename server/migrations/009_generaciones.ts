import type { MigrationBuilder } from 'node-pg-migrate';

/**
 * What commits made, a generation each (protocol/SPEC.md, Generations): of each agent and table the newest 16 with their
 * results, and how new the readings were. Digests of bodies that came with an Idempotency-Key; null: of an earlier version.
 */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
CREATE TABLE sync_commits (
  "tenantId" text NOT NULL,
  id text NOT NULL,
  tabla text NOT NULL,
  -- Of a registered agent; '' of whoever is none.
  agente text NOT NULL,
  orden bigint GENERATED ALWAYS AS IDENTITY,
  -- UTC with seven digits of a second and no zone: as text they compare as times.
  lectura text COLLATE "C",
  -- The rest is null where a mark was adopted, which no upload made; peticion and digest are a one-shot upload's alone.
  modo text,
  peticion text,
  digest text,
  resultado jsonb,
  "createdAt" timestamptz(3) NOT NULL DEFAULT now(),
  PRIMARY KEY ("tenantId", id)
);
CREATE INDEX idx_sync_commits_tabla ON sync_commits ("tenantId", tabla, orden);

ALTER TABLE sync_idempotency ADD COLUMN digest text;
ALTER TABLE sync_uploads ADD COLUMN lectura text, ADD COLUMN "relojAtrasado" boolean;
`);
}

export const down = false;
