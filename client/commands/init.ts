import { defined } from '../../protocol/defined.ts';
import { agentIdIn, registerAgentKey } from '../config/agent-key.ts';
import { describeEndpoint } from '../config/approval.ts';
import { keepAside, type LocalConfig, readLocalConfig, writeLocalConfig } from '../config/local.ts';
import { assertStrongPassword, isStrongPassword, makeMachinePassword, readConfigPassword } from '../config/password.ts';
import { assertReadable, refreshConfig, sqlServerEndpoints } from '../config/remote.ts';
import { approvedPins, sensitiveByPlace, settlePins } from '../config/sensitive-pins.ts';
import { agentError } from '../errors/agent-error.ts';
import { interactivePolicy } from '../errors/retry.ts';
import { isNewerFile } from '../files/format.ts';
import { makeSpoolKey } from '../state/spool/spool-key.ts';
import { connectBackend, isReadableOnTheWay, parseBackendUrl } from './agent.ts';

export interface InitOptions {
  folder: string;
  url: string;
  tenant: string;
  key: string;
  sqlServer: LocalConfig['sqlServer'];
  /** `--ca`: PEM. */
  ca?: string;
  /** `--permitir-http` */
  allowsHttp?: boolean;
  /** `--dpapi`: the password of `sync-config.enc` is made here and kept by Windows. */
  usesDpapi?: boolean;
  /** `--aprobar-sql` */
  requiresApproval?: boolean;
  print: (line: string) => void;
  signal: AbortSignal;
}

/**
 * Runs `init`: checks the backend and the key, registers the agent's public key, then writes `sync-config.enc` with
 * them and the configuration that the backend answered. Nothing is written when a check fails, but for an agent that
 * waits to be authorised: its key pair must outlive the wait.
 * @throws {AgentError}, SyncError or BackendError
 */
export async function runInit({ folder, sqlServer, print, signal, ...given }: InitOptions): Promise<void> {
  assertReadable(sqlServer, sqlServer.port);
  const { password, store } = given.usesDpapi
    ? await makeMachinePassword(folder)
    : { password: await readConfigPassword(folder), store: undefined };
  const { tenant, key } = given;
  const url = parseBackendUrl(given.url);
  const trust = {
    ...defined({ ca: given.ca }),
    ...(given.allowsHttp ? { allowsHttp: true } : {}),
    ...(given.requiresApproval ? { requiresApproval: true } : {}),
  };
  if (isReadableOnTheWay(url)) {
    if (given.allowsHttp !== true) {
      throw agentError('URL_SIN_CIFRAR', { url });
    }
    print('AVISO: la dirección no es https: la clave y los datos viajarán sin cifrar.');
  }
  const earlier = await readEarlier(folder, password);
  if (earlier === undefined) assertStrongPassword(password, 'la de sync-config.enc');
  else if (!isStrongPassword(password))
    print('AVISO: la contraseña de sync-config.enc es corta; una nueva no se admitiría.');
  const kept = earlier?.tenant === tenant ? keptOf(earlier) : undefined;
  const backend = await connectBackend({ url, tenant, key, ...trust }, { policy: interactivePolicy });
  await backend.checkHealth(signal);
  const registered = await registerAgentKey(
    backend,
    { url, tenant, key, sqlServer, spoolKey: makeSpoolKey(), ...trust, ...kept },
    signal,
  );
  const write = async (local: LocalConfig) => {
    const aside = kept === undefined ? await keepAside(folder) : undefined;
    if (aside !== undefined) print(`El sync-config.enc que había, de otra contraseña o tenant, queda como ${aside}.`);
    await store?.();
    await writeLocalConfig(folder, password, local);
  };
  if (!registered.autorizado) {
    await write(registered.local);
    const id = agentIdIn(registered.local)!;
    throw agentError('AGENTE_SIN_AUTORIZAR', { id, tenant });
  }
  const { local, config } = await refreshConfig(backend, registered.local, signal);
  const sensitivePins = settlePins({ ...registered.local, ...kept }, config, given.requiresApproval === true);
  await write({ ...local, sensitivePins });
  const { tablasSubida = [], tablasBajada = [] } = config.configuracionTablas;
  print(`Backend ${url}: tenant «${tenant}» aceptado, configuración versión ${config.version}.`);
  if (registered.note !== undefined) print(registered.note);
  for (const [name, endpoint] of sqlServerEndpoints(local, config)) {
    print(`SQL Server${name === undefined ? '' : ` «${name}»`}: ${describeEndpoint(endpoint)}.`);
  }
  print(`Tablas: ${tablasSubida.length} de subida, ${tablasBajada.length} de bajada.`);
  for (const [place, columns] of Object.entries(sensitiveByPlace(config.configuracionTablas))) {
    print(`Se ${place.startsWith('subida') ? 'cifran' : 'descifran'}: ${place}: ${columns.replaceAll('\n', ', ')}.`);
  }
  if (given.requiresApproval) print('Se ejecutará solo el SQL que se apruebe en este equipo. Revíselo con: approve');
  print(`Escrito sync-config.enc en ${folder}. Compruebe ahora todo con: test`);
}

/**
 * The configuration that this password opens; undefined where there is none.
 * @throws {AgentError} ARCHIVO_MAS_NUEVO: what a newer agent keeps there would be lost
 */
async function readEarlier(folder: string, password: string): Promise<LocalConfig | undefined> {
  try {
    return await readLocalConfig(folder, password);
  } catch (error) {
    if (isNewerFile(error)) throw error;
    return undefined;
  }
}

/**
 * What a new `init` takes over from the one before, where that was of the same tenant: an agent with another key pair would have
 * to be authorised anew, SQL approved, other connections told, and without the data key what was encrypted under it is lost.
 */
function keptOf({ agentKey, approvedSql, conexiones, dataKey, ...earlier }: LocalConfig): Partial<LocalConfig> {
  const { sensitivePins = earlier.remote && approvedPins(earlier.remote.config.configuracionTablas) } = earlier;
  return {
    ...defined({ sensitivePins, conexiones, dataKey, agentKey, approvedSql }),
  };
}
