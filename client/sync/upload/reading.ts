import type { Modo } from '../../../protocol/api.ts';
import { bajasOf, type Cambios, cambiosOf, type TablaSubida } from '../../../protocol/tenant-config/config.ts';
import { withUndatedRows } from '../../../protocol/tenant-config/ultima-sync.ts';
import {
  type AgentClock,
  BEFORE_EVERYTHING,
  type ClockReading,
  earlierBy,
  earlierOf,
  formatTicks,
  isEarlier,
  offsetOf,
  type ServerClock,
  TICKS_PER_SECOND,
  ticksOf,
  type WentBack,
  wentBack,
} from '../../sqlserver/session/clock.ts';
import { boundMark, type Watermark } from '../../state/watermarks.ts';
import { boundedQuery } from './rowversion.ts';

/**
 * From where a table is read, and where its mark will stand.
 *
 * A row is safe when some reading asked for its moment after it was there to be seen. Three things come between: a
 * transaction that has stamped its rows and is still open, a clock that goes back, and rows that carry no moment of now at
 * all. Against the first the mark stays at the beginning of the oldest transaction that has written and is open; against
 * the second a reading begins as much earlier as the clock went back; against the third there is `completoCada`.
 *
 * The order is: the clocks, then the open transactions, then the rows. A transaction that begins after the clock was read
 * stamps its rows behind the mark; one that began before is among the open ones, or has ended, and then its rows are there
 * to be read. Were the clock read later, one that began in between would be before the mark and among neither.
 */

export interface ReadingPlan {
  /** What `@ultimaSync` is bound to. */
  ultimaSync: string | null;
  /** Everything is read, not only what is new. */
  entera: boolean;
  /** Where the mark will stand. */
  marca: ServerClock;
  /** SQL Server's clock is behind what it told before. */
  relojAtrasado: boolean;
  /** Until when, on the local clock, beginnings of transactions are of two times (mixedUntil). */
  revuelto?: string | undefined;
  /** How far it went back, in seconds, where that is worth a word; null: nobody knows. */
  retroceso?: number | null;
  /** Since when the transaction is open that holds the mark back by more than the overlap. */
  retenida?: string;
}

/** Behind this, other clocks are too far apart to be believed. */
const TOLD_FROM = 60n * TICKS_PER_SECOND;
/** DATETIME rounds to 1/300 s. */
const ROUNDING = TICKS_PER_SECOND / 100n;

const HOUR = 3600n * TICKS_PER_SECOND;

const overlapOf = ({ solapeSegundos = 60 }: TablaSubida) => BigInt(solapeSegundos) * TICKS_PER_SECOND;

export interface Seen {
  now: ClockReading;
  /** The agent's clock after `now`. */
  after: AgentClock;
  /** When the oldest transaction that has written and is open began, on the local clock. */
  oldest: string | undefined;
}

/** Decides what a reading by date takes, from the mark and the clocks. */
export function planReading(
  tabla: TablaSubida,
  found: Watermark | undefined,
  { now, after, oldest }: Seen,
): ReadingPlan {
  const kind = cambiosOf(tabla);
  const mark = kind === 'marca' ? markOfTime(found) : found;
  const { local, utc } = now;
  const reading = found?.leido ?? found;
  const back = reading === undefined ? { by: 0n, reach: 0n, passed: 0n } : wentBack(reading, now, after);
  const relojAtrasado = reading !== undefined && isEarlier(utc, reading.utc);
  const isWorthAWord = relojAtrasado || (back !== undefined && back.by > longest(TOLD_FROM, overlapOf(tabla)));
  const clock = {
    relojAtrasado,
    ...(isWorthAWord ? { retroceso: secondsOf(back) } : {}),
  };
  if (kind !== 'marca') {
    return { ultimaSync: boundMark(tabla, undefined, now), entera: true, marca: { local, utc }, ...clock };
  }
  // What nobody has asked for yet begins here.
  const from = mark === undefined || back === undefined ? undefined : earlierOf(mark, earlierBy(reading!, back.reach));
  const entera = from === undefined || isDue(tabla, mark, utc);
  const revuelto = mixedUntil(now, mark, reading, back);
  const isMixed = revuelto !== undefined && oldest !== undefined && ticksOf(oldest) <= ticksOf(revuelto);
  const marca = isMixed
    ? (from ?? { local: BEFORE_EVERYTHING, utc: BEFORE_EVERYTHING })
    : beforeOpenTransactions({ local, utc }, oldest);
  const held = ticksOf(marca.local) < ticksOf(local) - overlapOf(tabla);
  return {
    ultimaSync: boundMark(tabla, entera ? undefined : from, now),
    entera,
    marca,
    ...clock,
    ...(isMixed || (revuelto !== undefined && ticksOf(local) <= ticksOf(revuelto)) ? { revuelto } : {}),
    ...(held && oldest !== undefined ? { retenida: oldest } : {}),
  };
}

/** A mark that stands on a version says nothing of a moment: transactions that were open then were not looked for. */
function markOfTime(mark: Watermark | undefined): Watermark | undefined {
  return mark?.version === undefined && mark?.seguimiento === undefined ? mark : undefined;
}

/**
 * After a clock has gone back, the beginning of a transaction no longer tells what it has stamped: it may be of before the
 * step, and its rows of after. That is so of all that began until the clock told its latest; while one of them is open, the mark
 * stays where it was.
 */
function mixedUntil(
  now: ServerClock,
  mark: Watermark | undefined,
  reading: ServerClock | undefined,
  back: WentBack | undefined,
): string | undefined {
  if (reading === undefined) return undefined;
  // The local clock alone goes back each autumn, and where the zone is changed.
  if (back?.by === 0n && offsetOf(now) >= offsetOf(reading)) return mark?.revuelto;
  // An hour for the seasons, too; a day where nobody knows what time has passed.
  const latest = formatTicks(ticksOf(reading.local) + HOUR + (back?.passed ?? 24n * HOUR));
  return mark?.revuelto !== undefined && mark.revuelto > latest && mark.revuelto > now.local ? mark.revuelto : latest;
}

/** Null: nobody knows. */
function secondsOf(back: WentBack | undefined): number | null {
  return back === undefined ? null : Number(back.by / TICKS_PER_SECOND);
}

/** The earlier of now and the beginning of the oldest open transaction, where there is one. */
function beforeOpenTransactions(now: ServerClock, oldest: string | undefined): ServerClock {
  return oldest === undefined ? now : earlierOf(now, momentOf(oldest, now));
}

/** When a transaction began, on both clocks. */
function momentOf(oldest: string, now: ServerClock): ServerClock {
  const begin = ticksOf(oldest) - ROUNDING;
  return { local: formatTicks(begin), utc: formatTicks(begin - offsetOf(now)) };
}

/** Returns whether `completoCada` has passed since everything was read. */
export function isDue({ completoCada }: TablaSubida, mark: Watermark | undefined, utc: string): boolean {
  if (completoCada === undefined) return false;
  if (mark?.entera === undefined) return true;
  const age = ticksOf(utc) - ticksOf(mark.entera);
  return age < 0n || age >= ticksIn(completoCada);
}

/** Of `7d` and `12h`. */
function ticksIn(duration: string): bigint {
  const hours = Number.parseInt(duration, 10) * (duration.endsWith('d') ? 24 : 1);
  return BigInt(hours) * HOUR;
}

/**
 * Returns what the upload says that it is. A whole reading of an incremental table may tell the backend what is gone,
 * and then has to bring every row that is there, those without a date too.
 */
export function modoOf(tabla: TablaSubida, entera: boolean): Modo {
  const kind = cambiosOf(tabla);
  if (kind === 'huellas') return entera ? 'completo' : 'incremental';
  if (!readsChanges(kind)) return 'completo';
  const tellsAbsent =
    entera && bajasOf(tabla) !== 'ignorar' && (kind !== 'marca' || withUndatedRows(tabla.process.query) !== undefined);
  return tellsAbsent ? 'completo' : 'incremental';
}

/** Returns whether a reading of such a table brings changes alone, unless it is `entera`. */
export function readsChanges(kind: Cambios): kind is 'marca' | 'rowversion' | 'seguimiento' {
  return kind === 'marca' || kind === 'rowversion' || kind === 'seguimiento';
}

/** Returns the query as it is run: a reading of everything also takes the rows that have no date. */
export function queryOf(tabla: TablaSubida, entera: boolean): string {
  const { query } = tabla.process;
  const kind = cambiosOf(tabla);
  if (kind === 'rowversion') return boundedQuery(tabla, entera);
  return kind === 'marca' && entera ? (withUndatedRows(query)?.sql ?? query) : query;
}

const longest = (a: bigint, b: bigint) => (a > b ? a : b);
