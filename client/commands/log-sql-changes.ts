import type { ConfigResponse } from '../../protocol/tenant-config/config.ts';
import { describeChanges, fingerprintOfSql, sqlByPlace } from '../config/approval.ts';
import type { LocalConfig } from '../config/local.ts';
import { sqlServerEndpoints } from '../config/remote.ts';
import type { Log } from '../ui/log.ts';

/** Of one statement that changed: the rest is shown by `approve`. */
const LOGGED_LINES = 40;

/** Tells what of the backend's SQL is another since the last run. */
export function logSqlChanges(
  log: Log,
  before: LocalConfig,
  { local, config }: { local: LocalConfig; config: ConfigResponse },
) {
  const sqlOf = (from: LocalConfig, with_: ConfigResponse) =>
    sqlByPlace(sqlServerEndpoints(from, with_), with_.configuracionTablas);
  const now = sqlOf(local, config);
  const earlier = before.remote === undefined ? {} : sqlOf(before, before.remote.config);
  const changes = describeChanges(earlier, now, LOGGED_LINES);
  if (changes.length === 0) return;
  log.warn(`Cambió el SQL que el backend hace ejecutar en SQL Server (huella ${fingerprintOfSql(now)}):`);
  for (const line of changes) log.warn(line);
}
