import type { MigrationBuilder } from 'node-pg-migrate';

/** Which version each agent runs, and since when; null: it has not asked since this was kept. */
export function up(pgm: MigrationBuilder): void {
  pgm.sql('ALTER TABLE sync_agents ADD COLUMN version text, ADD COLUMN "versionDesde" timestamptz(3)');
}

export const down = false;
