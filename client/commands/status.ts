import type Type from 'typebox';
import type { BajasRetenidas, EsquemaPendiente, StatusResponse } from '../../protocol/api.ts';
import { OUTPUT_FORMAT, type StatusOutput } from '../../protocol/cli-output.ts';
import { describeCambios } from '../../protocol/rows/drift.ts';
import type { ConfigResponse, ConfiguracionTablas, Direccion } from '../../protocol/tenant-config/config.ts';
import { visibleJson, visibleLine } from '../../protocol/visible.ts';
import { titleOfConnection } from '../checks/connections.ts';
import { describeEndpoint } from '../config/approval.ts';
import { type LocalConfig, readLocalConfig } from '../config/local.ts';
import { readConfigPassword } from '../config/password.ts';
import { sqlServerEndpoints } from '../config/remote.ts';
import { describeError } from '../errors/describe-error.ts';
import type { ExitReason } from '../errors/exit-codes.ts';
import { interactivePolicy } from '../errors/retry.ts';
import { type History, readHistory } from '../state/history.ts';
import { countPending } from '../state/outbox.ts';
import { findRunning } from '../state/run-lock.ts';
import { describeSpool, type SpoolState } from '../state/spool/spool.ts';
import { type VerificationState, verifications } from '../state/verifications.ts';
import { readWatermarks, type Watermark } from '../state/watermarks.ts';
import { count, localTime, megabytes, table } from '../ui/words.ts';
import { version } from '../version.ts';
import { connectBackend } from './agent.ts';
import { findSchedule } from './schedule.ts';

export interface StatusOptions {
  folder: string;
  json: boolean;
  print: (line: string) => void;
  signal: AbortSignal;
}

/** What `status --json` prints, in one line. */
type Status = Type.Static<typeof StatusOutput>;
type TableStatus = Status['tablas'][number];

/**
 * Runs `status`: shows how the tables stand, here and at the backend; changes nothing, and may run beside a `sync`. A
 * backend that does not answer is part of the picture, not an error.
 * @throws {AgentError}
 */
export async function runStatus({ folder, json, print, signal }: StatusOptions): Promise<ExitReason> {
  const status = await findStatus(folder, signal);
  if (json) print(visibleJson(status));
  else for (const line of describeStatus(status)) print(visibleLine(line));
  return 'exitoso';
}

async function findStatus(folder: string, signal: AbortSignal): Promise<Status> {
  const local = await readLocalConfig(folder, await readConfigPassword(folder));
  const history = await readHistory(folder);
  const watermarks = await readWatermarks(folder);
  const config = local.remote?.config;
  const backend = await connectBackend(local, { policy: interactivePolicy });
  return {
    formato: OUTPUT_FORMAT,
    version,
    carpeta: folder,
    tenant: local.tenant,
    url: local.url,
    enMarcha: (await findRunning(folder)) ?? null,
    programacion: await findSchedule(signal),
    ejecuciones: history.ejecuciones,
    conexiones: config === undefined ? [] : describeConnections(local, config),
    tablas: joinTables(config?.configuracionTablas ?? {}, {
      history,
      watermarks: watermarks === 'damaged' ? new Map() : watermarks,
      verified: await verifications.read(folder),
    }),
    spool: await describeSpool(folder, local.spoolKey ?? ''),
    registrosPorEnviar: await countPending(folder),
    versionConfiguracion: config?.version ?? null,
    backend: await askBackend(() => backend.fetchStatus(signal), signal),
  };
}

async function askBackend(ask: () => Promise<StatusResponse>, signal: AbortSignal): Promise<Status['backend']> {
  try {
    const { success: _, ...answer } = await ask();
    return answer;
  } catch (error) {
    signal.throwIfAborted();
    return { error: describeError(error).text };
  }
}

function describeConnections(local: LocalConfig, config: ConfigResponse): Status['conexiones'] {
  const { tablasSubida = [], tablasBajada = [] } = config.configuracionTablas;
  return [...sqlServerEndpoints(local, config)].map(([name, endpoint]) => {
    const users = [...tablasSubida, ...tablasBajada].filter(({ conexion }) => conexion === name);
    return { nombre: name ?? null, servidor: describeEndpoint(endpoint), tablas: users.length };
  });
}

/** The tables of the configuration, with what is known of each. */
function joinTables(
  { tablasSubida = [], tablasBajada = [] }: ConfiguracionTablas,
  known: {
    history: History;
    watermarks: ReadonlyMap<string, Watermark>;
    verified: Readonly<Record<string, VerificationState>>;
  },
): TableStatus[] {
  const statusOf = (
    direccion: Direccion,
    { nombre: tabla, conexion = null }: { nombre: string; conexion?: string | null },
  ): TableStatus => {
    const { tablas } = known.history;
    const run = tablas.find(({ ultima }) => ultima.direccion === direccion && ultima.tabla === tabla);
    const { ultima = null, exitosa = null } = run ?? {};
    const marca = direccion === 'upload' ? (known.watermarks.get(tabla)?.local ?? null) : null;
    const verificacion = describeVerified(known.verified[`${direccion}/${tabla}`]);
    return { direccion, tabla, conexion, ultima, exitosa, marca, verificacion };
  };
  return [
    ...tablasSubida.map((tabla) => statusOf('upload', tabla)),
    ...tablasBajada.map((tabla) => statusOf('download', tabla)),
  ];
}

/** What the file has of a comparison, and no more: it was made when another agent may have had more to say. */
function describeVerified(state: VerificationState | undefined): TableStatus['verificacion'] {
  if (state?.ultima === undefined) return null;
  const { estado, filasOrigen, filasDestino, iguales, distintas, faltan, sobran, enVuelo, reparadas } = state.ultima;
  const counts = { filasOrigen, filasDestino, iguales, distintas, faltan, sobran, enVuelo, reparadas };
  const { inicio, fin, mensaje } = state.ultima;
  return { estado, ...counts, inicio, fin, mensaje };
}

function describeStatus(status: Status): string[] {
  const { enMarcha, programacion, registrosPorEnviar } = status;
  const [last] = status.ejecuciones;
  return [
    `Agente ${status.version} en ${status.carpeta}`,
    `Tenant «${status.tenant}», backend ${status.url}`,
    enMarcha === null
      ? 'Ahora: parado'
      : `Ahora: sincronizando desde ${localTime(enMarcha.inicio)} (proceso ${enMarcha.pid})`,
    last === undefined
      ? 'Última ejecución: ninguna todavía'
      : `Última ejecución: ${localTime(last.inicio)}, ${last.resultado}: ${last.bien} tablas bien, ${last.conError} con error, ${last.sinEmpezar} sin empezar`,
    `Tarea programada: ${programacion.length === 0 ? 'ninguna con el nombre «AX Sync»' : programacion.join('; ')}`,
    ...status.conexiones.map(({ nombre, servidor, tablas }) => {
      return `${titleOfConnection(nombre ?? undefined)}: ${servidor}, ${tablas} tablas`;
    }),
    '',
    ...describeTables(status.tablas),
    ...describeVerifications(status.tablas),
    '',
    ...describeWaiting(status.spool),
    ...(registrosPorEnviar > 0 ? [`Registros que esperan al backend: ${count(registrosPorEnviar)}`] : []),
    '',
    ...describeBackend(status),
  ];
}

const SENTIDO = { upload: 'subida', download: 'bajada' } as const;

function describeTables(tablas: TableStatus[]): string[] {
  if (tablas.length === 0) return ['La configuración no tiene tablas.'];
  const several = tablas.some(({ conexion }) => conexion !== null);
  const rows = tablas.map(({ direccion, tabla, conexion, ultima, exitosa, marca }) => [
    tabla,
    ...(several ? [conexion ?? ''] : []),
    SENTIDO[direccion],
    ultima === null ? 'nunca' : localTime(ultima.inicio),
    ultima?.estado ?? '',
    exitosa === null ? '' : count(exitosa.filas),
    exitosa === null ? 'nunca' : localTime(exitosa.inicio),
    marca === null ? '' : marca.slice(0, 19).replace('T', ' '),
  ]);
  const titles = [
    'TABLA',
    ...(several ? ['CONEXIÓN'] : []),
    'SENTIDO',
    'ÚLTIMA VEZ',
    'RESULTADO',
    'FILAS',
    'ÚLTIMA BUENA',
    'MARCA (SQL Server)',
  ];
  const errors = tablas.flatMap(({ tabla, ultima }) => (ultima?.mensaje ? [`  ${tabla}: ${ultima.mensaje}`] : []));
  return [...table([titles, ...rows]), ...errors];
}

function describeVerifications(tablas: TableStatus[]): string[] {
  const rows = tablas.flatMap(({ tabla, direccion, verificacion: one }) => {
    if (one === null) return [];
    const counts = [one.iguales, one.distintas, one.faltan, one.sobran].map(count);
    return [[tabla, SENTIDO[direccion], localTime(one.inicio), one.estado, ...counts]];
  });
  if (rows.length === 0) return [];
  const heads = ['TABLA', 'SENTIDO', 'COMPROBADA', 'RESULTADO', 'IGUALES', 'DISTINTAS', 'FALTAN', 'SOBRAN'];
  return ['', 'Última comprobación de cada tabla (verify):', ...table([heads, ...rows])];
}

function describeWaiting({ subidas, ilegibles, masNuevas }: SpoolState): string[] {
  const lines = subidas.map(({ tabla, trozos, filas, bytes, completa }) => {
    const state = completa ? 'leída entera, a falta de enviar' : 'lectura sin terminar';
    return `En spool/: ${tabla}, ${count(filas)} filas en ${trozos} trozos (${megabytes(bytes)}), ${state}`;
  });
  if (ilegibles > 0)
    lines.push(`En spool/: ${ilegibles} carpetas que no se pueden leer; la próxima ejecución las borra`);
  if (masNuevas > 0)
    lines.push(
      `En spool/: ${masNuevas} carpetas de un agente más nuevo; esas tablas no suben hasta que se instale otra vez`,
    );
  return lines.length > 0 ? lines : ['En spool/: nada pendiente'];
}

function describeBackend({ backend, versionConfiguracion }: Status): string[] {
  if ('error' in backend) return [`Backend: ${backend.error}`];
  const same = backend.version === versionConfiguracion ? 'la misma que aquí' : `aquí la ${versionConfiguracion}`;
  const rows = backend.tablas.map(({ direccion, tabla, estado, registrosAfectados, fechaInicio }) => [
    ...[tabla, SENTIDO[direccion], localTime(fechaInicio), estado],
    registrosAfectados === null ? '' : count(registrosAfectados),
  ]);
  const open = backend.subidasAbiertas.map(
    ({ tabla, trozos, filas, expira }) =>
      `  Subida abierta: ${tabla}, ${count(filas)} filas en ${trozos} trozos, hasta ${localTime(expira)}`,
  );
  const held = [
    ...(backend.bajasRetenidas ?? []).flatMap(describeRetained),
    ...(backend.esquemasPendientes ?? []).map(describePending),
  ];
  return [
    `Backend: configuración versión ${backend.version} (${same}), su hora es ${localTime(backend.hora)}. Lo que ha registrado:`,
    ...(rows.length === 0 ? ['  nada todavía'] : table(rows).map((line) => `  ${line}`)),
    ...open,
    ...held,
  ];
}

function describePending({ tabla, estado, cambios, total, desde }: EsquemaPendiente): string {
  return `  Columnas por aprobar: ${tabla}, ${estado} desde ${localTime(desde)}: ${describeCambios(cambios, total)}`;
}

/** Samples in a line of its own: a technician looks whether these rows should be gone. */
function describeRetained({ direccion, tabla, bajas, total, altas, muestra, estado, hasta }: BajasRetenidas): string[] {
  const until = hasta === null ? '' : `, hasta ${localTime(hasta)}`;
  const beside = altas === 0 ? '' : `, ${count(altas)} altas`;
  const keys = muestra.slice(0, 5).join(', ') + (bajas > 5 ? ', …' : '');
  return [
    `  Bajas retenidas: ${tabla} (${SENTIDO[direccion]}), ${count(bajas)} de ${count(total)} filas${beside}, ${estado}${until}`,
    `    ${keys}`,
  ];
}
