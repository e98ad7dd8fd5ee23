import type { ConfigResponse } from '../../protocol/tenant-config/config.ts';
import { describeChanges, fingerprintOfSql, sqlByPlace } from '../config/approval.ts';
import type { LocalConfig } from '../config/local.ts';
import { sqlServerEndpoints } from '../config/remote.ts';
import { pinnedByPlace, settlePins } from '../config/sensitive-pins.ts';
import { agentError } from '../errors/agent-error.ts';
import type { Finding } from './checklist.ts';

/**
 * Tells what the SQL of the backend is since the last run; where it has to be approved, throws AgentError unless all of
 * it is.
 */
export function checkSql(local: LocalConfig, config: ConfigResponse): Finding<void> {
  const sql = sqlByPlace(sqlServerEndpoints(local, config), config.configuracionTablas);
  const huella = `huella ${fingerprintOfSql(sql)}`;
  const found = (note: string) => ({ value: undefined, note: `${huella}, ${note}` });
  if (local.requiresApproval === true) {
    const pinned = pinnedByPlace(settlePins(local, config, true), config.configuracionTablas);
    const changes = describeChanges({ ...local.approvedSql, ...pinned }, sql);
    if (changes.length === 0) return found('aprobado');
    throw agentError('APROBACION_PENDIENTE', { huella, cambios: changes.join('\n') });
  }
  const earlier = local.remote?.config;
  if (earlier === undefined) return found('todavía no se ejecutó ninguno');
  const changes = describeChanges(sqlByPlace(sqlServerEndpoints(local, earlier), earlier.configuracionTablas), sql);
  return found(
    changes.length === 0 ? 'el mismo de la última vez' : `cambió desde la última vez:\n${changes.join('\n')}`,
  );
}
