import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type Type from 'typebox';
import { type DoctorOutput, OUTPUT_FORMAT } from '../../protocol/cli-output.ts';
import { limits } from '../../protocol/constants.ts';
import type { ConfiguracionTablas } from '../../protocol/tenant-config/config.ts';
import { visible, visibleJson } from '../../protocol/visible.ts';
import { Checklist, describeOutcome, type Finding } from '../checks/checklist.ts';
import { checkConnections } from '../checks/connections.ts';
import { checkAgent, checkDisk, checkFolder, checkName, describeClock } from '../checks/machine.ts';
import { checkSql } from '../checks/sql.ts';
import { checkTls } from '../checks/tls.ts';
import { type LocalConfig, readLocalConfig } from '../config/local.ts';
import { readConfigPassword } from '../config/password.ts';
import { findProxySettings } from '../config/proxy.ts';
import { findQuietHours } from '../config/quiet-hours.ts';
import { refreshConfig } from '../config/remote.ts';
import type { ExitReason } from '../errors/exit-codes.ts';
import { interactivePolicy } from '../errors/retry.ts';
import { writeFileAtomically } from '../files/files.ts';
import { readBackwards } from '../files/tail.ts';
import type { Backend } from '../http/backend.ts';
import { chooseProxy } from '../http/proxy.ts';
import { readHistory } from '../state/history.ts';
import { countPending } from '../state/outbox.ts';
import { findRunning } from '../state/run-lock.ts';
import { describeSpool } from '../state/spool/spool.ts';
import { readWatermarks } from '../state/watermarks.ts';
import { findLogFiles } from '../ui/log-rotation.ts';
import { Secrets } from '../ui/secrets.ts';
import { count, localTime, localTimestamp, megabytes } from '../ui/words.ts';
import { connectBackend } from './agent.ts';
import { findSchedule, PLAIN_PASSWORD_FILE } from './schedule.ts';

export interface DoctorOptions {
  folder: string;
  json: boolean;
  print: (line: string) => void;
  signal: AbortSignal;
}

const REPORT = 'diagnostico.txt';
/** Warnings and errors of the log that the report ends with. */
const LOG_LINES = 100;

/**
 * Runs `doctor`: checks everything that support would ask for, and changes nothing but `diagnostico.txt`, which it
 * writes for them: no key and no password is in it. One that fails does not keep the next from being checked.
 */
export async function runDoctor({ folder, json, print, signal }: DoctorOptions): Promise<ExitReason> {
  const secrets = new Secrets();
  const onOutcome = (outcome: Parameters<typeof describeOutcome>[0]) => {
    if (!json) print(describeOutcome(outcome));
  };
  const list = new Checklist({ secrets, signal, onOutcome });
  await list.check('Agente', checkAgent);
  await list.check('Carpeta', () => checkFolder(folder));
  const local = await list.check('Configuración local', () => openLocal(folder, secrets));
  const tables = local === undefined ? undefined : await checkBackend(list, local, secrets, signal);
  const known = tables ?? local?.remote?.config.configuracionTablas ?? {};
  await checkHere(list, { folder, local, tables: known, signal });

  const summary = `${list.count('bien')} bien, ${list.count('aviso')} avisos, ${list.count('falla')} fallas`;
  const path = join(folder, REPORT);
  const report = await describeReport(list, summary, folder);
  const written = await list.check('Informe', async () => {
    await writeFileAtomically(path, report.map((line) => `${visible(secrets.scrub(line))}\n`).join(''));
    return { value: true, note: `escrito en ${path}, sin claves ni contraseñas` };
  });
  if (json) {
    const output: Type.Static<typeof DoctorOutput> = {
      ...{ formato: OUTPUT_FORMAT, comprobaciones: list.outcomes, informe: written === true ? path : null },
    };
    print(visibleJson(output));
  } else print(`${summary}.`);
  return list.count('falla') === 0 ? 'exitoso' : 'error';
}

async function openLocal(folder: string, secrets: Secrets): Promise<Finding<LocalConfig>> {
  const password = await readConfigPassword(folder);
  secrets.add(password);
  const local = await readLocalConfig(folder, password);
  const keys = [local.key, local.nextKey, local.previousKey, local.spoolKey, local.dataKey, local.agentKey?.privada];
  const told = Object.values(local.remote?.config.sqlServerConexiones ?? {});
  const own = [local.sqlServer, ...Object.values(local.conexiones ?? {})];
  const passwords = [local.remote?.config.sqlServerPassword, ...[...told, ...own].map(({ password }) => password)];
  for (const secret of [...keys, ...passwords]) secrets.add(secret);
  return { value: local, note: `sync-config.enc se abre; tenant «${local.tenant}»` };
}

/** The way to the backend, what it says, and with its configuration SQL Server and the tables. */
async function checkBackend(
  list: Checklist,
  local: LocalConfig,
  secrets: Secrets,
  signal: AbortSignal,
): Promise<ConfiguracionTablas | undefined> {
  const { hostname } = new URL(local.url);
  const proxy = await list.check('Proxy', async () => {
    const found = chooseProxy(local.url, await findProxySettings());
    if (found !== undefined) for (const secret of credentialsIn(found.url)) secrets.add(secret);
    return { value: { found }, note: found === undefined ? 'ninguno: conexión directa' : found.name };
  });
  if (proxy === undefined) return undefined;
  const first = proxy.found === undefined ? hostname : new URL(proxy.found.url).hostname;
  await list.check('DNS del backend', () => checkName(first, signal));
  await list.check('TLS del backend', () => checkTls(local, proxy.found, signal));
  const backend = await connectBackend(local, { policy: interactivePolicy });
  const answers = await list.check('Backend', async () => {
    const before = performance.now();
    await backend.checkHealth(signal);
    return { value: true, note: `${local.url} responde en ${Math.round(performance.now() - before)} ms` };
  });
  if (answers === undefined) return undefined;
  const config = await list.check('Credenciales y configuración', async () => {
    const { remote: _, ...fresh } = local;
    const { config } = await refreshConfig(backend, fresh, signal);
    return { value: config, note: `la clave vale; configuración versión ${config.version}` };
  });
  if (config === undefined) return undefined;
  for (const { password } of Object.values(config.sqlServerConexiones ?? {})) secrets.add(password);
  secrets.add(config.sqlServerPassword);
  await list.check('Reloj del backend', () => checkBackendClock(backend, signal));
  await list.check('SQL del backend', async () => checkSql(local, config));
  await checkConnections({ local, config, secrets, backend, list, thorough: true, signal });
  return config.configuracionTablas;
}

function credentialsIn(url: string): string[] {
  const { username, password } = new URL(url);
  return [password, decodeURIComponent(password), `${username}:${password}`];
}

async function checkBackendClock(backend: Backend, signal: AbortSignal): Promise<Finding<void>> {
  const before = Date.now();
  const { hora } = await backend.fetchStatus(signal);
  return describeClock('backend', Date.parse(hora), (before + Date.now()) / 2);
}

/** What lies in the install folder, and what is to come. */
async function checkHere(
  list: Checklist,
  {
    folder,
    local,
    tables,
    signal,
  }: { folder: string; local: LocalConfig | undefined; tables: ConfiguracionTablas; signal: AbortSignal },
): Promise<void> {
  const { spoolMaxMb = limits.spoolMaxMb, limiteKbps } = tables;
  await list.check('Disco', () => checkDisk(folder, spoolMaxMb * 1e6));
  await list.check('Contraseña', async () => {
    const plain = existsSync(join(folder, PLAIN_PASSWORD_FILE));
    if (!plain) return { value: undefined, note: 'no está en claro en la carpeta' };
    const note = `${PLAIN_PASSWORD_FILE}, de una versión anterior, la tiene en claro junto a sync-config.enc`;
    const advice =
      'Una copia de la carpeta se abre con ella. Ejecute schedule install otra vez: la guarda en otro sitio.';
    return { value: undefined, note, advice };
  });
  await list.check('Marcas', async () => {
    const watermarks = await readWatermarks(folder);
    if (watermarks !== 'damaged') return { value: undefined, note: `${watermarks.size} tablas en last-sync.json` };
    const advice = 'La próxima ejecución lo aparta y sube todo desde el principio.';
    return { value: undefined, note: 'last-sync.json está dañado', advice };
  });
  await list.check('Spool', async () => {
    const { subidas, ilegibles, masNuevas } = await describeSpool(folder, local?.spoolKey ?? '');
    const bytes = subidas.reduce((sum, upload) => sum + upload.bytes, 0);
    const note = `${subidas.length} subidas pendientes, ${megabytes(bytes)}`;
    if (masNuevas > 0) {
      const advice = 'Instale otra vez esa versión del agente: hasta entonces esas tablas no suben.';
      return { value: undefined, note: `${note}; ${masNuevas} carpetas son de un agente más nuevo`, advice };
    }
    if (ilegibles === 0) return { value: undefined, note };
    const advice = 'La próxima ejecución las borra y lee de nuevo.';
    return { value: undefined, note: `${note}; ${ilegibles} carpetas no se pueden leer`, advice };
  });
  await list.check('Registros por enviar', async () => ({ value: undefined, note: count(await countPending(folder)) }));
  await list.check('Última ejecución', () => describeLastRun(folder));
  await list.check('Programación', async () => {
    const lines = await findSchedule(signal);
    const note = lines.length === 0 ? 'ninguna tarea con el nombre «AX Sync»' : lines.join('; ');
    const quiet = findQuietHours(tables, new Date());
    const hush = quiet === undefined ? '' : `; ahora es hora de silencio, hasta las ${quiet.hasta}`;
    const pace = limiteKbps === undefined ? '' : `; limitado a ${count(limiteKbps)} kbps`;
    return { value: undefined, note: `${note}${hush}${pace}` };
  });
}

async function describeLastRun(folder: string): Promise<Finding<void>> {
  const running = await findRunning(folder);
  const now = running === undefined ? '' : `; ahora sincroniza el proceso ${running.pid}`;
  const [last] = (await readHistory(folder)).ejecuciones;
  if (last === undefined) return { value: undefined, note: `ninguna todavía${now}` };
  const note = `${localTime(last.inicio)}, ${last.resultado}: ${last.bien} tablas bien, ${last.conError} con error${now}`;
  if (last.resultado === 'exitoso') return { value: undefined, note };
  return { value: undefined, note, advice: 'Mire logs --nivel error, y status.' };
}

async function describeReport(list: Checklist, summary: string, folder: string): Promise<string[]> {
  const now = new Date();
  const log: string[] = [];
  for await (const { hora, nivel, texto } of readBackwards(await findLogFiles(join(folder, 'logs'), 'sync-combined'))) {
    if (nivel !== 'INFO') log.push(`${hora} ${nivel.padEnd(5)} ${texto}`);
    if (log.length === LOG_LINES) break;
  }
  return [
    `Diagnóstico del agente, ${localTimestamp(now).slice(0, 19)} (UTC ${now.toISOString().slice(0, 19)})`,
    summary,
    '',
    ...list.outcomes.map(describeOutcome),
    '',
    `Últimos avisos y errores del registro: ${log.length}`,
    ...log.reverse(),
  ];
}
