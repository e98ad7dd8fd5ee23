import { randomUUID } from 'node:crypto';
import { open, readdir, readFile, readlink, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type AgentError, agentError } from '../errors/agent-error.ts';
import { isMissingFile } from '../files/files.ts';
import { stampOf } from '../files/format.ts';

/**
 * One run at a time in an install folder: `sync.lock`, with the process id of who holds it, and where that is. The holder
 * touches the file twice a minute. A lock is stale when its process is gone, or when nobody has touched it for long (after a
 * reboot another program may have that process id). Of a process of another place (a shared folder, a container) the second
 * alone can be told.
 */
const FILE_NAME = 'sync.lock';
const FORMAT = 1;
const TOUCH_MS = 30_000;
const STALE_MS = 10 * 60_000;
/** Two processes that find the same stale lock both write theirs over it; after this long the last one holds it. */
const TAKEOVER_MS = 250;
/** Paths locked by this process: another process that had the same id before (a container) holds none of them. */
const held = new Set<string>();

/**
 * Runs `use` while no other process runs one in `folder`.
 * @throws {AgentError} `ocupado` when one does
 */
export async function withLock<T>(folder: string, use: () => Promise<T>): Promise<T> {
  const path = join(folder, FILE_NAME);
  const inicio = new Date().toISOString();
  const where = { equipo: hostname(), lugar: await findPlace() };
  const content = JSON.stringify({ pid: process.pid, ficha: randomUUID(), inicio, ...where, ...stampOf(FORMAT) });
  await take(path, content);
  held.add(path);
  const touch = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {
      // The next touch tries again; one missed does not make the lock stale.
    });
  }, TOUCH_MS);
  try {
    await removeStrays(folder);
    return await use();
  } finally {
    clearInterval(touch);
    held.delete(path);
    if ((await readOrUndefined(path)) === content) await rm(path, { force: true });
  }
}

/** Temporary files of writeFileAtomically and of this lock, whose process was killed before it renamed them. */
async function removeStrays(folder: string): Promise<void> {
  for (const at of [folder, join(folder, 'logs')]) {
    const names = await readdir(at).catch(() => []);
    for (const name of names) {
      const writer = /\.(?:(\d+)|[0-9a-f-]{36})\.tmp$/.exec(name);
      if (writer === null) continue;
      const path = join(at, name);
      const pid = Number(writer[1] ?? 0);
      const touched = await stat(path).catch(() => undefined);
      if (touched === undefined || pid === process.pid) continue;
      const old = Date.now() - touched.mtimeMs > STALE_MS;
      // One that cannot be removed harms nobody: the next run tries again.
      if (old || (pid > 0 && !isAlive(pid))) await rm(path, { force: true }).catch(() => {});
    }
  }
}

/** Returns whether a run is under way in `folder`: which process, and since when (ISO; empty when it does not say). */
export async function findRunning(folder: string): Promise<{ pid: number; inicio: string } | undefined> {
  const holder = await readHolder(join(folder, FILE_NAME));
  if (holder === 'gone' || !holder.alive) return undefined;
  return { pid: holder.pid, inicio: /"inicio":"([^"]*)"/.exec(holder.text)?.[1] ?? '' };
}

async function take(path: string, content: string): Promise<void> {
  if (await createNew(path, content)) return;
  const holder = await readHolder(path);
  if (holder === 'gone') {
    if (await createNew(path, content)) return;
    throw busy(undefined);
  }
  if (holder.alive) throw busy(holder.pid, holder.host);
  const temporary = `${path}.${randomUUID()}.tmp`;
  await writeFile(temporary, content, { mode: 0o600 });
  if ((await readOrUndefined(path)) !== holder.text) {
    await rm(temporary, { force: true });
    throw busy(undefined);
  }
  await rename(temporary, path);
  await sleep(TAKEOVER_MS);
  if ((await readOrUndefined(path)) !== content) throw busy(undefined);
}

async function createNew(path: string, content: string): Promise<boolean> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, 'wx', 0o600);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw uncreatable(path, cause);
  }
  try {
    await file.writeFile(content);
    return true;
  } catch (cause) {
    await rm(path, { force: true });
    throw uncreatable(path, cause);
  } finally {
    await file.close();
  }
}

function uncreatable(path: string, cause: unknown): AgentError {
  return agentError('CERROJO_NO_CREADO', { archivo: path, motivo: (cause as Error).message }, cause);
}

/** `host`: of a holder that runs elsewhere. */
type Holder = { text: string; pid: number; alive: boolean; host?: string };

async function readHolder(path: string): Promise<'gone' | Holder> {
  const text = await readOrUndefined(path);
  if (text === undefined) return 'gone';
  const touched = await stat(path).catch(() => undefined);
  if (touched === undefined) return 'gone';
  const recent = Date.now() - touched.mtimeMs < STALE_MS;
  const pid = Number(/"pid":(\d+)/.exec(text)?.[1] ?? Number.NaN);
  // Of a newer agent only that is known: whoever holds a lock touches it.
  if (Number(/"formato":(\d+)/.exec(text)?.[1] ?? FORMAT) > FORMAT) return { text, pid: pid || 0, alive: recent };
  // Just created and not yet written: its holder is alive.
  if (Number.isNaN(pid)) return { text, pid: 0, alive: Date.now() - touched.mtimeMs < 5000 };
  const { equipo, lugar } = whereIn(text);
  // A version before these fields took every holder for one of this machine.
  if (lugar !== undefined && lugar !== (await findPlace())) {
    return { text, pid, alive: recent, host: equipo ?? 'otro equipo' };
  }
  return { text, pid, alive: pid === process.pid ? held.has(path) : recent && isAlive(pid) };
}

function whereIn(text: string): { equipo?: string | undefined; lugar?: string | undefined } {
  try {
    const { equipo, lugar } = JSON.parse(text) as { equipo?: unknown; lugar?: unknown };
    return {
      equipo: typeof equipo === 'string' ? equipo : undefined,
      lugar: typeof lugar === 'string' ? lugar : undefined,
    };
  } catch {
    return {};
  }
}

/** The inode of Linux's first namespace of process ids (PROC_PID_INIT_INO): no container. */
const FIRST_NAMESPACE = 'pid:[4026531836]';

/**
 * Where a process id means what it means here: the machine by its name and id. In a container also its namespace and this
 * boot, for names and ids of machines may come from an image.
 */
async function findPlace(): Promise<string> {
  if (process.platform === 'win32') return hostname();
  const machine = `${hostname()}/${await textOf('/etc/machine-id')}`;
  const namespace = await readlink('/proc/self/ns/pid').catch(() => FIRST_NAMESPACE);
  if (namespace === FIRST_NAMESPACE) return machine;
  return `${machine}/${namespace}/${await textOf('/proc/sys/kernel/random/boot_id')}`;
}

/** Empty where the system has no such file. */
async function textOf(path: string): Promise<string> {
  return (await readFile(path, 'utf8').catch(() => '')).trim();
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    // EPERM: it lives and belongs to somebody else.
    return (cause as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function readOrUndefined(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (isMissingFile(cause)) return undefined;
    throw cause;
  }
}

function busy(pid: number | undefined, host?: string): AgentError {
  const where = host === undefined ? '' : ` de ${host}`;
  const who = pid === undefined || pid === 0 ? 'otro proceso' : `el proceso ${pid}${where}`;
  return agentError('CARPETA_OCUPADA', { quien: who });
}
