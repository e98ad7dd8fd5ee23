import { createHash } from 'node:crypto';
import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { primaryKeyOf, type TablaSubida } from '../../protocol/config.ts';
import { deriveTipoCampo } from '../../protocol/tipo-campo.ts';
import { isMissingFile, writeFileAtomically } from '../config/files.ts';
import { assertFormat, stampOf } from '../config/format.ts';
import type { SqlServer } from '../sqlserver/connection.ts';
import type { SensitiveColumns } from './sensitive.ts';

/**
 * `last-sync.json`: how far each table has been uploaded, in SQL Server's own time. Clocks of the agent play no part.
 *
 * The mark is kept on two clocks because SQL Server's local one (GETDATE, what most tables hold) jumps back an hour
 * each autumn: rows written in the hour that comes twice would be passed over by a local mark alone.
 */

/** A moment of SQL Server on both its clocks, ISO text without zone, up to 7 digits of a second. */
export interface ServerClock {
  local: string;
  utc: string;
}

const Time = Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d{1,7})?$' });
const MarkSchema = Type.Object({
  local: Time,
  utc: Time,
  /** Of what the mark was made with (fingerprintOf): with another query it says nothing. */
  huella: Type.String(),
  ultimaEjecucion: Type.String(),
  filas: Type.Integer(),
  /** The generation at the centre that it stands on; none of an older server's or agent's. */
  generacion: Type.Optional(Type.String()),
});
export type Mark = Type.Static<typeof MarkSchema>;

const checker = Compile(Type.Record(Type.String(), MarkSchema));
/** The first format was the marks alone, by table; since the second they lie in `tablas`. */
const FORMAT = 2;
const FILE_NAME = 'last-sync.json';

/** datetime's earliest day: `campoFecha > @ultimaSync` then holds for every row. */
const BEFORE_EVERYTHING = '1753-01-01T00:00:00.0000000';
const TICKS_PER_SECOND = 10_000_000n;
const TICKS_PER_MINUTE = 60n * TICKS_PER_SECOND;

/** What `last-sync.json` says, by table; nothing is changed. Throws ARCHIVO_MAS_NUEVO. */
export async function readMarks(folder: string): Promise<Map<string, Mark> | 'damaged'> {
  const path = join(folder, FILE_NAME);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (isMissingFile(cause)) return new Map();
    throw cause;
  }
  const content = parseOrUndefined(text);
  assertFormat(path, content, FORMAT);
  const { formato, tablas } = (content ?? {}) as { formato?: unknown; tablas?: unknown };
  // In the first format a table may have that name; its mark is no number.
  const value = typeof formato === 'number' ? tablas : content;
  return checker.Check(value) ? new Map(Object.entries(value)) : 'damaged';
}

/** The marks of every table, read at the start of a run, written after each acknowledged upload. */
export class Marks {
  readonly #path: string;
  readonly #marks: Map<string, Mark>;
  /** The last writing that was begun: several at once would share a temporary file. */
  #written: Promise<void> = Promise.resolve();

  private constructor(path: string, marks: Map<string, Mark>) {
    this.#path = path;
    this.#marks = marks;
  }

  /**
   * Reads `last-sync.json`; none means that nothing has been uploaded. A damaged one is put aside as
   * `last-sync.json.danado` (and `onDamaged` told): uploading everything again is safe, guessing is not.
   * Throws ARCHIVO_MAS_NUEVO.
   */
  static async open(folder: string, onDamaged: (path: string) => void): Promise<Marks> {
    const path = join(folder, FILE_NAME);
    const marks = await readMarks(folder);
    if (marks !== 'damaged') return new Marks(path, marks);
    const aside = `${path}.danado`;
    await rename(path, aside);
    onDamaged(aside);
    return new Marks(path, new Map());
  }

  /** The mark of a table, or undefined when there is none made with `huella`. */
  get(tabla: string, huella: string): Mark | undefined {
    const mark = this.#marks.get(tabla);
    return mark?.huella === huella ? mark : undefined;
  }

  /** Whether there is a mark made with something else than `huella`. */
  isOutdated(tabla: string, huella: string): boolean {
    const mark = this.#marks.get(tabla);
    return mark !== undefined && mark.huella !== huella;
  }

  /** The generations that marks stand on, by table; null: none. */
  generations(tablas: readonly string[]): Record<string, string | null> {
    const known = tablas.filter((tabla) => this.#marks.has(tabla));
    return Object.fromEntries(known.map((tabla) => [tabla, this.#marks.get(tabla)!.generacion ?? null]));
  }

  /** Keeps the generation that a mark stands on from now on. */
  async adopt(tabla: string, generacion: string): Promise<void> {
    const mark = this.#marks.get(tabla);
    if (mark !== undefined) await this.set(tabla, { ...mark, generacion });
  }

  /** Removes a mark and writes the file: the table is sent from the beginning. */
  async forget(tabla: string): Promise<void> {
    if (this.#marks.delete(tabla)) await this.#write();
  }

  /** Sets a mark and writes the file; it is on disk when this resolves. */
  async set(tabla: string, mark: Mark): Promise<void> {
    this.#marks.set(tabla, mark);
    await this.#write();
  }

  async #write(): Promise<void> {
    const write = () => {
      const content = { ...stampOf(FORMAT), tablas: Object.fromEntries(this.#marks) };
      return writeFileAtomically(this.#path, `${JSON.stringify(content, null, 2)}\n`);
    };
    // Whether the one before went well is told to whoever waits for that.
    this.#written = this.#written.catch(() => {}).then(write);
    await this.#written;
  }
}

/** SQL Server's clock now. Read it before the rows: what is written while they are read then counts as newer. */
export async function readServerClock(db: SqlServer, signal: AbortSignal): Promise<ServerClock> {
  const sql =
    'SELECT CONVERT(varchar(33), SYSDATETIME(), 126) AS hora_local, CONVERT(varchar(33), SYSUTCDATETIME(), 126) AS hora_utc';
  const [row] = await db.query(sql, { signal });
  const { hora_local: local, hora_utc: utc } = row ?? {};
  if (typeof local !== 'string' || typeof utc !== 'string') throw new Error('SQL Server did not tell its time as text');
  return { local, utc };
}

/** What makes a mark meaningless when it changes: where the rows come from and go, and which rows they are. */
export function fingerprintOf(tabla: TablaSubida, endpoints: readonly string[], sensitive?: SensitiveColumns): string {
  const { nombre, tipoCampo, campoFecha, process } = tabla;
  const parts = [
    endpoints,
    process.query,
    primaryKeyOf(tabla),
    tipoCampo ?? deriveTipoCampo(nombre),
    campoFecha ?? null,
    // Left out where there is none, so that marks of an earlier version hold.
    ...(sensitive === undefined ? [] : [sensitive.keyId, sensitive.names.toSorted()]),
  ];
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url').slice(0, 22);
}

/**
 * What `@ultimaSync` is bound to. Without a mark: NULL where the query says what NULL means, else a day before
 * everything, so that a plain `fecha > @ultimaSync` uploads the whole table at first. With one: the mark less the
 * overlap, on the clock that the table's dates are in; for `local`, the earlier of the local mark and the UTC mark at
 * today's offset.
 */
export function boundMark(
  tabla: Pick<TablaSubida, 'reloj' | 'solapeSegundos' | 'process'>,
  mark: ServerClock | undefined,
  now: ServerClock,
): string | null {
  if (mark === undefined) return handlesNull(tabla.process.query) ? null : BEFORE_EVERYTHING;
  const overlap = BigInt(tabla.solapeSegundos ?? 60) * TICKS_PER_SECOND;
  const utc = ticksOf(mark.utc);
  if (tabla.reloj === 'utc') return formatTicks(utc - overlap);
  const local = ticksOf(mark.local);
  const shifted = utc + offsetOf(now);
  const earlier = [local, shifted].sort((a, b) => (a < b ? -1 : 1))[0]!;
  return formatTicks(earlier - overlap);
}

/** Whether one UTC time of SQL Server is before another; with `Z` or without. */
export function isEarlier(utc: string, other: string): boolean {
  return ticksOf(utc.replace('Z', '')) < ticksOf(other.replace('Z', ''));
}

/** Whether `sql` has the parameter `@ultimaSync` (T-SQL names are case-insensitive). */
export function mentionsMark(sql: string): boolean {
  return /@ultimaSync\b/i.test(sql);
}

function handlesNull(query: string): boolean {
  return /@ultimaSync\s+IS\s+(NOT\s+)?NULL\b/i.test(query) || /\b(ISNULL|COALESCE)\s*\(\s*@ultimaSync\b/i.test(query);
}

/** SQL Server's distance from UTC in ticks, rounded to a minute: its two clocks are not read in the same instant. */
function offsetOf({ local, utc }: ServerClock): bigint {
  const distance = ticksOf(local) - ticksOf(utc);
  const half = TICKS_PER_MINUTE / 2n;
  return ((distance + (distance < 0n ? -half : half)) / TICKS_PER_MINUTE) * TICKS_PER_MINUTE;
}

/** 100 ns since 1970 of an ISO text without zone. */
function ticksOf(text: string): bigint {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,7}))?$/.exec(text);
  if (match === null) throw new Error(`not a time of SQL Server: ${text.slice(0, 40)}`);
  const seconds = BigInt(Date.parse(`${match[1]}Z`)) / 1000n;
  return seconds * TICKS_PER_SECOND + BigInt((match[2] ?? '').padEnd(7, '0'));
}

function formatTicks(ticks: bigint): string {
  const fraction = ((ticks % TICKS_PER_SECOND) + TICKS_PER_SECOND) % TICKS_PER_SECOND;
  const seconds = (ticks - fraction) / TICKS_PER_SECOND;
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return `${whole}.${String(fraction).padStart(7, '0')}`;
}

function parseOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
