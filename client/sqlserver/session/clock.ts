import { hostname, uptime } from 'node:os';
import Type from 'typebox';
import { sqlServerError } from '../errors.ts';
import type { Queryable } from './queryable.ts';

/**
 * SQL Server's clock, and whether it has gone back since it was last read.
 *
 * It cannot be asked that. A clock that is behind what it once told has gone back for certain; one that went back by less
 * than the time since then is ahead of it again, and only another clock shows that it has lost some. The agent's own wall
 * clock may be that of the same machine, and be set back with it; the time since that machine started is not. The greater
 * of the two is taken for the time that has passed: too much of it costs rows that are read again, too little loses some.
 */

/** A moment of SQL Server on both its clocks, ISO text without zone, up to 7 digits of a second. */
export interface ServerClock {
  local: string;
  utc: string;
}

export const Time = Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d{1,7})?$' });

/** The agent's clocks at a moment. */
export const AgentClockSchema = Type.Object({
  hora: Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z$' }),
  /** Seconds since its machine started. */
  encendido: Type.Number({ minimum: 0, maximum: 1e10 }),
  equipo: Type.String(),
});
export type AgentClock = Type.Static<typeof AgentClockSchema>;

/** SQL Server's clock, and the agent's right before it was asked. */
export interface ClockReading extends ServerClock {
  agente: AgentClock;
}

/** datetime's earliest day: `campoFecha > @ultimaSync` then holds for every row. No moment is told that is before it. */
export const BEFORE_EVERYTHING = '1753-01-01T00:00:00.0000000';
/** datetime2's last moment. No later one is told. */
const LAST = '9999-12-31T23:59:59.9999999';
export const TICKS_PER_SECOND = 10_000_000n;
const TICKS_PER_MINUTE = 60n * TICKS_PER_SECOND;
/** Clocks are not read at the same instant, and no two of them run alike. */
const NOISE = TICKS_PER_SECOND;
const DAY_SECONDS = 86_400;

/** What SQL Server is asked for its clocks; `clocksOf` reads the row. */
export const CLOCKS =
  'CONVERT(varchar(33), SYSDATETIME(), 126) AS hora_local, CONVERT(varchar(33), SYSUTCDATETIME(), 126) AS hora_utc';

/**
 * Reads all clocks now. Read them before the rows: what is written while they are read then counts as newer.
 * @throws {SqlServerError} RELOJ_ILEGIBLE for a time that a later run could not read back
 */
export async function readClocks(db: Queryable, signal: AbortSignal): Promise<ClockReading> {
  const agente = readAgentClock();
  const [row = {}] = await db.query(`SELECT ${CLOCKS}`, { signal });
  return clocksOf(row, agente);
}

/** Returns the clocks of a row of `CLOCKS`, and the agent's right before it was asked. Throws as readClocks. */
export function clocksOf({ hora_local, hora_utc }: Record<string, unknown>, agente: AgentClock): ClockReading {
  return { local: readable(hora_local), utc: readable(hora_utc), agente };
}

/** Reads this machine's clock, how long it has been up (seconds), and its name. */
export function readAgentClock(): AgentClock {
  return { hora: new Date().toISOString(), encendido: uptime(), equipo: hostname() };
}

/** What is written must be readable: 100 ns since 1970 and back gives the same text. */
function readable(text: unknown): string {
  if (typeof text === 'string' && isReadable(text)) return text;
  throw sqlServerError('RELOJ_ILEGIBLE', { hora: String(text).slice(0, 40) });
}

/** Returns whether `text` is a moment that comes out of `ticksOf` as it went in. */
export function isReadable(text: string): boolean {
  const [, whole, fraction = ''] = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,7}))?$/.exec(text) ?? [];
  if (whole === undefined || Number.isNaN(Date.parse(`${whole}Z`))) return false;
  return formatTicks(ticksOf(text)) === `${whole}.${fraction.padEnd(7, '0')}`;
}

export interface WentBack {
  /** Ticks, as far as anybody can tell; 0n: it did not. */
  by: bigint;
  /** What has to be read again for it to be sure. */
  reach: bigint;
  /** Ticks of the agent's clocks since then. */
  passed: bigint;
}

/**
 * Returns whether SQL Server's clock has gone back from `then` to `now`. Undefined: it has, and how far nobody can say.
 */
export function wentBack(
  then: ServerClock & { agente?: AgentClock },
  now: ServerClock,
  after: AgentClock,
): WentBack | undefined {
  const moved = ticksOf(now.utc) - ticksOf(then.utc);
  const passed = then.agente === undefined ? undefined : passedBetween(then.agente, after);
  if (moved >= 0n) {
    const lost = ticksIn(passed ?? 0) - moved;
    const by = lost > NOISE ? lost : 0n;
    return { by, reach: by, passed: ticksIn(passed ?? 0) };
  }
  if (passed === undefined) return undefined;
  // The machine may have been started again since, which hides time, and its clock be wrong from then on.
  const reach = ticksIn(Math.max(passed, Math.min(after.encendido, DAY_SECONDS))) - moved;
  return { by: ticksIn(passed) - moved, reach, passed: ticksIn(passed) };
}

/** Seconds by the agent's clocks; undefined where neither holds. */
function passedBetween(then: AgentClock, now: AgentClock): number | undefined {
  const running = now.equipo === then.equipo ? now.encendido - then.encendido : -1;
  const seconds = Math.max(running, (Date.parse(now.hora) - Date.parse(then.hora)) / 1000);
  return seconds < 0 ? undefined : seconds;
}

function ticksIn(seconds: number): bigint {
  return BigInt(Math.ceil(seconds * 1000)) * 10_000n;
}

/**
 * Returns SQL Server's distance from UTC in ticks, rounded to a minute: its two clocks are not read in the same
 * instant.
 */
export function offsetOf({ local, utc }: ServerClock): bigint {
  const distance = ticksOf(local) - ticksOf(utc);
  const half = TICKS_PER_MINUTE / 2n;
  return ((distance + (distance < 0n ? -half : half)) / TICKS_PER_MINUTE) * TICKS_PER_MINUTE;
}

/** Returns the 100 ns units since 1970 of an ISO text without zone. */
export function ticksOf(text: string): bigint {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,7}))?$/.exec(text);
  if (match === null) throw new Error(`not a time of SQL Server: ${text.slice(0, 40)}`);
  const seconds = BigInt(Date.parse(`${match[1]}Z`)) / 1000n;
  return seconds * TICKS_PER_SECOND + BigInt((match[2] ?? '').padEnd(7, '0'));
}

/** Returns the text of 100 ns units since 1970, within the years that SQL Server knows. */
export function formatTicks(ticks: bigint): string {
  if (ticks < EARLIEST) return BEFORE_EVERYTHING;
  if (ticks > LATEST) return LAST;
  const fraction = ((ticks % TICKS_PER_SECOND) + TICKS_PER_SECOND) % TICKS_PER_SECOND;
  const seconds = (ticks - fraction) / TICKS_PER_SECOND;
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return `${whole}.${String(fraction).padStart(7, '0')}`;
}

const EARLIEST = ticksOf(BEFORE_EVERYTHING);
const LATEST = ticksOf(LAST);

/** Returns whether one UTC time of SQL Server is before another; with `Z` or without. */
export function isEarlier(utc: string, other: string): boolean {
  return ticksOf(utc.replace('Z', '')) < ticksOf(other.replace('Z', ''));
}

/** Returns both clocks set back by so many ticks. */
export function earlierBy(clock: ServerClock, ticks: bigint): ServerClock {
  return { local: formatTicks(ticksOf(clock.local) - ticks), utc: formatTicks(ticksOf(clock.utc) - ticks) };
}

/** Returns the earlier on each clock. */
export function earlierOf(a: ServerClock, b: ServerClock): ServerClock {
  const pick = (x: string, y: string) => (ticksOf(x) <= ticksOf(y) ? x : y);
  return { local: pick(a.local, b.local), utc: pick(a.utc, b.utc) };
}
