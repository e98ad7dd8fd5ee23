import { randomUUID } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { rm, statfs, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { release, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError, agentError } from '../errors/agent-error.ts';
import { makePrivateFolder } from '../files/files.ts';
import { megabytes } from '../ui/words.ts';
import { version } from '../version.ts';
import type { Finding } from './checklist.ts';

/** What a run needs of the machine that it runs on. */

/** Says which agent this is, and on what system it runs as whom. */
export async function checkAgent(): Promise<Finding<void>> {
  const { username } = userInfo();
  const system = `${process.platform} ${release()} ${process.arch}`;
  return { value: undefined, note: `versión ${version}, Bun ${process.versions.bun}, ${system}, usuario ${username}` };
}

/** Writes a file and removes it. */
export async function checkFolder(folder: string): Promise<Finding<void>> {
  const path = join(folder, 'logs', `prueba-${randomUUID()}.tmp`);
  try {
    await makePrivateFolder(join(folder, 'logs'));
    await writeFile(path, 'prueba');
    await rm(path);
  } catch (cause) {
    throw agentError('CARPETA_NO_ESCRIBIBLE', { carpeta: folder, motivo: (cause as Error).message }, cause);
  }
  return { value: undefined, note: `se puede escribir en ${folder}` };
}

/** Below it not even the logs are safe. */
const LEAST_FREE_BYTES = 200e6;

/** Checks the free space of the folder's disk. `wantedBytes`: what `spool/` may take. */
export async function checkDisk(folder: string, wantedBytes: number): Promise<Finding<void>> {
  const { bavail, bsize } = await statfs(folder);
  return judgeDisk(bavail * bsize, wantedBytes);
}

/** @throws {AgentError} */
export function judgeDisk(free: number, wantedBytes: number): Finding<void> {
  const note = `${megabytes(free)} libres; spool/ puede ocupar ${megabytes(wantedBytes)}`;
  if (free < LEAST_FREE_BYTES) throw agentError('POCO_DISCO', { libres: megabytes(free) });
  if (free >= wantedBytes + LEAST_FREE_BYTES) return { value: undefined, note };
  return { value: undefined, note, advice: 'Libere espacio, o baje spoolMaxMb en configuracionTablas.' };
}

const DNS_MS = 5000;

/** Looks up the addresses of a host. */
export async function checkName(host: string, signal: AbortSignal): Promise<Finding<void>> {
  if (isIP(host.replace(/^\[|\]$/g, '')) !== 0) return { value: undefined, note: `${host} es ya una dirección` };
  const timer = new AbortController();
  try {
    const late = sleep(DNS_MS, undefined, { signal: AbortSignal.any([signal, timer.signal]) }).then(() => {
      throw agentError('DNS_SIN_NOMBRE', { servidor: host, motivo: `el DNS no contesta en ${DNS_MS / 1000} s` });
    });
    const found = await Promise.race([lookup(host, { all: true }), late]);
    return { value: undefined, note: `${host} es ${found.map(({ address }) => address).join(', ')}` };
  } catch (cause) {
    if (cause instanceof AgentError) throw cause;
    throw agentError('DNS_SIN_NOMBRE', { servidor: host, motivo: (cause as Error).message }, cause);
  } finally {
    timer.abort();
  }
}

/** Watermarks are taken from SQL Server's clock alone: a clock that is wrong misleads people, and TLS. */
const CLOCK_MS = 60_000;

/** Compares two clocks. `theirs` and `ours` in ms since 1970, read in the same instant. */
export function describeClock(who: string, theirs: number, ours: number): Finding<void> {
  const seconds = Math.round(Math.abs(theirs - ours) / 1000);
  if (seconds * 1000 <= CLOCK_MS) return { value: undefined, note: `a ${seconds} s del de este equipo` };
  const note = `el de ${who} va ${seconds} s ${theirs > ours ? 'por delante' : 'por detrás'} del de este equipo`;
  return {
    value: undefined,
    note,
    advice: 'Sincronice los relojes (w32tm /resync): las horas de los registros no cuadran.',
  };
}
