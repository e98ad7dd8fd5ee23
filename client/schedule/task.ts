import { agentError } from '../errors/agent-error.ts';

/** A task as both schedulers are told of it: `client/schedule/windows.ts` and `systemd.ts` write it in their words. */
export interface ScheduledTask {
  /** Letters, digits, spaces, `.`, `_`, `-`. */
  name: string;
  /** The install folder, absolute. */
  folder: string;
  /** Program and arguments, without quotes. */
  command: [string, ...string[]];
  everyMinutes: number;
  /** A run that takes longer is ended. */
  limitMinutes: number;
  /** Seconds after the full interval at which it starts: drawn, so that a thousand tenants do not come at once. */
  offsetSeconds: number;
}

export interface TaskStatus {
  /** Lines for the operator. */
  lines: string[];
  /** Exit code of the last run; undefined when there was none, or one is at work. */
  lastCode: number | undefined;
}

const MINUTES = { m: 1, h: 60, d: 1440 } as const;
const MAX_MINUTES = 31 * MINUTES.d;
const NAME = /^[\w. -]{1,100}$/;

/**
 * Minutes of `5m`, `2h`, `1d`: 1 minute to 31 days, what the Task Scheduler takes.
 * @throws {AgentError} `configuracion` that names the option
 */
export function parseMinutes(option: string, text: string): number {
  const [, count, unit] = /^(\d{1,5})([mhd])$/.exec(text) ?? [];
  const minutes = Number(count) * MINUTES[(unit ?? 'm') as keyof typeof MINUTES];
  if (minutes >= 1 && minutes <= MAX_MINUTES) return minutes;
  throw agentError('INTERVALO_INVALIDO', { opcion: option, texto: text });
}

/** @throws {AgentError} `configuracion` */
export function assertTaskName(name: string): void {
  if (NAME.test(name) && name.trim() === name) return;
  throw agentError('NOMBRE_DE_TAREA_INVALIDO', { nombre: name });
}
