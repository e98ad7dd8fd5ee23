import type { ConfiguracionTablas } from '../../protocol/tenant-config/config.ts';
import { registerAgentKey } from '../config/agent-key.ts';
import { type LocalConfig, writeLocalConfig } from '../config/local.ts';
import { findQuietHours, type QuietHours } from '../config/quiet-hours.ts';
import { refreshWithAnyKey } from '../config/rotation.ts';
import { isRetryable, type RetryPolicy, retryPolicy } from '../errors/retry.ts';
import type { Backend } from '../http/backend.ts';
import type { RunSummary } from '../sync/run.ts';
import type { Log } from '../ui/log.ts';
import { connectBackend } from './agent.ts';

/**
 * Returns the configuration, or the quiet hours that it is now. Those that the copy has may have been lifted: the
 * backend is asked, but once, and where it does not answer they hold.
 */
export async function refreshUnlessQuiet(
  {
    folder,
    ahora = false,
    policy = retryPolicy,
    signal,
  }: { folder: string; ahora?: boolean; policy?: RetryPolicy; signal: AbortSignal },
  local: LocalConfig,
  { log, password }: { log: Log; password: string },
) {
  const quietBy = (tables: ConfiguracionTablas | undefined) =>
    ahora || tables === undefined ? undefined : findQuietHours(tables, new Date());
  const known = quietBy(local.remote?.config.configuracionTablas);
  const patience = known === undefined ? policy : { ...policy, attempts: 1 };
  const connect = (key: string) => connectBackend({ ...local, key }, { policy: patience, onRetry: log.warn });
  try {
    // First: without a key pair the backend would tell the password in plain, or refuse an agent that another came before.
    const keyed = await ensureAgentKey(await connect(local.key), local, { folder, password, log, signal });
    const current = await refreshWithAnyKey({ folder, password, connect }, keyed, signal);
    return quietBy(current.config.configuracionTablas) ?? current;
  } catch (error) {
    if (known !== undefined && isRetryable(error)) return known;
    throw error;
  }
}

/** Says that it is a quiet hour; returns the summary of a run that did nothing. */
export function endQuietly({ desde, hasta }: QuietHours, log: Log): RunSummary {
  log.info(
    `Horas de silencio, de ${desde} a ${hasta} de este equipo: no se sincroniza. Para hacerlo igual: sync --ahora`,
  );
  return { estado: 'exitoso', reason: 'exitoso', done: 0, failed: 0, skipped: 0, tablas: [] };
}

/** An install folder of an earlier version has no key pair yet: it is made and written before it is used. */
async function ensureAgentKey(
  backend: Backend,
  local: LocalConfig,
  { folder, password, log, signal }: { folder: string; password: string; log: Log; signal: AbortSignal },
): Promise<LocalConfig> {
  if (local.agentKey !== undefined) return local;
  const registered = await registerAgentKey(backend, local, signal);
  if (registered.note !== undefined) log.warn(registered.note);
  if (registered.local.agentKey !== undefined) await writeLocalConfig(folder, password, registered.local);
  return registered.local;
}
