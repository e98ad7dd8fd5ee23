import { changedPlaces, describeChanges, fingerprintOfSql, sqlByPlace } from '../config/approval.ts';
import { readLocalConfig, writeLocalConfig } from '../config/local.ts';
import { readConfigPassword } from '../config/password.ts';
import { refreshConfig, sqlServerEndpoints } from '../config/remote.ts';
import { approvedPins, pinnedByPlace, settlePins, withoutOrigins } from '../config/sensitive-pins.ts';
import { agentError } from '../errors/agent-error.ts';
import { interactivePolicy } from '../errors/retry.ts';
import { connectBackend } from './agent.ts';

export interface ApproveOptions {
  folder: string;
  /** The fingerprint of what was read: without it nothing is approved. */
  huella: string | undefined;
  /** `--origen-nuevo`: sensitive values of downloads may from now on be of other tables than so far. */
  forgetsOrigins?: boolean;
  print: (line: string) => void;
  signal: AbortSignal;
}

/**
 * Runs `approve`: shows the SQL of the backend that a person on this machine has not approved yet, with what changed in
 * it, and the fingerprint of all of it. With that fingerprint it is approved: what was read, and nothing that came
 * after.
 * @throws {AgentError} `configuracion` for another fingerprint, SyncError or BackendError
 */
export async function runApprove({
  folder,
  huella,
  forgetsOrigins = false,
  print,
  signal,
}: ApproveOptions): Promise<void> {
  const password = await readConfigPassword(folder);
  const before = await readLocalConfig(folder, password);
  const backend = await connectBackend(before, { policy: interactivePolicy });
  const { local, config } = await refreshConfig(backend, before, signal);
  const tables = config.configuracionTablas;
  // As it was before this configuration.
  const pins = settlePins(before, config, true);
  const approved = { ...local.approvedSql, ...pinnedByPlace(pins, tables) };
  const current = sqlByPlace(sqlServerEndpoints(local, config), tables);
  const fingerprint = fingerprintOfSql(current);
  if (huella === undefined) {
    const changes = describeChanges(approved, current);
    for (const line of changes) print(line);
    print(
      changes.length === 0
        ? `Todo el SQL está aprobado (huella ${fingerprint}).`
        : `Para aprobarlo: ax-sync-client approve --huella ${fingerprint}`,
    );
    return;
  }
  if (huella !== fingerprint) {
    throw agentError('HUELLA_DISTINTA', { huella: fingerprint, dada: huella.slice(0, 40) });
  }
  const sensitivePins = approvedPins(tables, forgetsOrigins ? withoutOrigins(pins) : pins);
  await writeLocalConfig(folder, password, { ...local, approvedSql: current, sensitivePins });
  print(`Aprobado el SQL de huella ${fingerprint} (${changedPlaces(approved, current).length} cambios).`);
}
