-- What sync_vigilancia() gives in the place of what it would say ("firma"): the triggers of a table that has taken the place of another
-- one, under watch all along (server/postgres/partition.ts), go by the name that the ledgers of agents know.
CREATE TABLE sync_vigilancias (
  firma text PRIMARY KEY,
  nombre text NOT NULL
);
REVOKE ALL ON sync_vigilancias FROM PUBLIC;
