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

/** Its backends, and those that have ended, whose time is the postmaster's. */
function readPostgres(): number {
  let sum = 0;
  for (const pid of readProcesses()) {
    const { name, own, children } = secondsOf(pid);
    if (name === 'postgres') sum += own + children;
  }
  return sum;
}

function readProcesses(): number[] {
  try {
    return readdirSync('/proc').map(Number).filter(Number.isInteger);
  } catch {
    return [];
  }
}

/** proc_pid_stat(5): the name stands in brackets, utime to cstime are the fields 14 to 17. */
function secondsOf(pid: number | undefined): { name: string; own: number; children: number } {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const close = stat.lastIndexOf(')');
    const [utime, stime, cutime, cstime] = stat
      .slice(close + 2)
      .split(' ')
      .slice(11, 15)
      .map(Number);
    const name = stat.slice(stat.indexOf('(') + 1, close);
    return { name, own: (utime! + stime!) * TICK, children: (cutime! + cstime!) * TICK };
  } catch {
    return { name: '', own: 0, children: 0 };
  }
}
