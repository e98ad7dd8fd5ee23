import { readdirSync, readFileSync } from 'node:fs';

/** CPU seconds, user and system (Linux; nothing elsewhere). PostgreSQL's are those of all its processes together. */
export interface CpuSeconds {
  agent: number;
  server: number;
  postgres: number;
  /** undefined where SQL Server is a real one. */
  standIn: number | undefined;
}

/** Seconds of one tick of /proc: USER_HZ is 100 on every Linux that Node runs on. */
const TICK = 1 / 100;

/** Counts from here to `stop`, which is called once the agent, a child of this process, has ended. */
export function countCpu(server: number | undefined, standIn: number | undefined): { stop(): CpuSeconds } {
  const read = (): CpuSeconds => ({
    // Linux adds a child's time to its parent's when it has ended.
    agent: secondsOf(process.pid).children,
    server: secondsOf(server).own,
    postgres: readPostgres(),
    standIn: standIn === undefined ? undefined : secondsOf(standIn).own,
  });
  const before = read();
  return {
    stop() {
      const after = read();
      return {
        agent: after.agent - before.agent,
        server: after.server - before.server,
        postgres: after.postgres - before.postgres,
        standIn: standIn === undefined ? undefined : after.standIn! - before.standIn!,
      };
    },
  };
}

/** Its backends, and those that have ended, whose time is the postmaster's; where this process started it, not those of others. */
function readPostgres(): number {
  const all = readProcesses().map((pid) => ({ pid, ...secondsOf(pid) }));
  const servers = all.filter(({ name }) => name === 'postgres');
  const postmaster = servers.find(({ parent }) => parent === process.pid)?.pid;
  const ours = servers.filter(
    ({ pid, parent }) => postmaster === undefined || pid === postmaster || parent === postmaster,
  );
  return ours.reduce((sum, { own, children }) => sum + own + children, 0);
}

function readProcesses(): number[] {
  try {
    return readdirSync('/proc').map(Number).filter(Number.isInteger);
  } catch {
    return [];
  }
}

/** proc_pid_stat(5): the name stands in brackets, the parent is field 4, utime to cstime are the fields 14 to 17. */
function secondsOf(pid: number | undefined): { name: string; parent: number; own: number; children: number } {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const close = stat.lastIndexOf(')');
    const fields = stat
      .slice(close + 2)
      .split(' ')
      .map(Number);
    const [utime, stime, cutime, cstime] = fields.slice(11, 15);
    const name = stat.slice(stat.indexOf('(') + 1, close);
    return { name, parent: fields[1]!, own: (utime! + stime!) * TICK, children: (cutime! + cstime!) * TICK };
  } catch {
    return { name: '', parent: 0, own: 0, children: 0 };
  }
}
