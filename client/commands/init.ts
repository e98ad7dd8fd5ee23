import { connectBackend, parseBackendUrl } from '../agent.ts';
import { readConfigPassword } from '../config/environment.ts';
import { type LocalConfig, writeLocalConfig } from '../config/local.ts';
import { refreshConfig, sqlServerSettings } from '../config/remote.ts';
import { interactivePolicy } from '../retry.ts';
import { makeSpoolKey } from '../spool/sealed.ts';

export interface InitOptions {
  folder: string;
  url: string;
  tenant: string;
  key: string;
  sqlServer: LocalConfig['sqlServer'];
  print: (line: string) => void;
  signal: AbortSignal;
}

/**
 * `init`: checks the backend and the key, then writes `sync-config.enc` with them and the configuration that the
 * backend answered. Nothing is written when a check fails. Throws AgentError, SyncError or BackendError.
 */
export async function runInit({ folder, sqlServer, print, signal, ...given }: InitOptions): Promise<void> {
  const password = readConfigPassword();
  const { tenant, key } = given;
  const url = parseBackendUrl(given.url);
  if (url.startsWith('http:') && !/^http:\/\/(localhost|127\.|\[::1\])/.test(url)) {
    print('AVISO: la dirección no es https: la clave y los datos viajarán sin cifrar.');
  }
  const backend = await connectBackend({ url, tenant, key }, { policy: interactivePolicy });
  await backend.checkHealth(signal);
  const { local, config } = await refreshConfig(
    backend,
    { url, tenant, key, sqlServer, spoolKey: makeSpoolKey() },
    signal,
  );
  await writeLocalConfig(folder, password, local);
  const { host, port, database, user } = sqlServerSettings(local, config);
  const { tablasSubida = [], tablasBajada = [] } = config.configuracionTablas;
  print(`Backend ${url}: tenant «${tenant}» aceptado, configuración versión ${config.version}.`);
  print(`SQL Server: ${user}@${host}:${port}/${database}.`);
  print(`Tablas: ${tablasSubida.length} de subida, ${tablasBajada.length} de bajada.`);
  print(`Escrito sync-config.enc en ${folder}. Compruebe ahora todo con: test`);
}
