-- Which servers fit this database: the newest that has migrated it, and the oldest that works with it since a breaking migration.
CREATE TABLE sync_version (
  unica boolean PRIMARY KEY DEFAULT true CHECK (unica),
  version text NOT NULL,
  minima text NOT NULL
);
REVOKE ALL ON sync_version FROM PUBLIC;
