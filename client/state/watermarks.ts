import { createHash } from 'node:crypto';
import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { markParts, type TablaSubida } from '../../protocol/tenant-config/upload-table.ts';
import { isMissingFile, writeFileAtomically } from '../files/files.ts';
import { assertFormat, stampOf } from '../files/format.ts';
import { sqlServerError } from '../sqlserver/errors.ts';
import {
  AgentClockSchema,
  BEFORE_EVERYTHING,
  formatTicks,
  isReadable,
  offsetOf,
  type ServerClock,
  TICKS_PER_SECOND,
  Time,
  ticksOf,
} from '../sqlserver/session/clock.ts';
import { TrackingVersion, Version } from '../sqlserver/session/versions.ts';

/**
 * `last-sync.json`: how far each table has been uploaded, in SQL Server's own time. Clocks of the agent play no part.
 *
 * The mark is kept on two clocks because SQL Server's local one (GETDATE, what most tables hold) jumps back an hour
 * each autumn: rows written in the hour that comes twice would be passed over by a local mark alone.
 */

const WatermarkSchema = Type.Object({
  local: Time,
  utc: Time,
  /** Of what the mark was made with (fingerprintOf): with another query it says nothing. */
  huella: Type.String(),
  /** All clocks before that reading. Without it they told `local` and `utc`, and of the agent's nothing is known. */
  leido: Type.Optional(Type.Object({ local: Time, utc: Time, agente: AgentClockSchema })),
  /** As of ReadingPlan. */
  revuelto: Type.Optional(Time),
  /** UTC clock of the last reading from the beginning. */
  entera: Type.Optional(Time),
  /** `cambios: "rowversion"`: up to which version everything is read. */
  version: Type.Optional(Version),
  /** UTC clock of the reading that first saw that version. */
  quieta: Type.Optional(Time),
  /** `cambios: "seguimiento"`: the version of Change Tracking before the reading. */
  seguimiento: Type.Optional(TrackingVersion),
  ultimaEjecucion: Type.String(),
  filas: Type.Integer(),
  /** The ledger of `huellas` that tells what the centre has (state/ledger). */
  libro: Type.Optional(
    Type.Object({
      id: Type.String(),
      pares: Type.Integer({ minimum: 0 }),
      bytes: Type.Integer({ minimum: 0 }),
    }),
  ),
  /** The generation at the centre that it stands on; none of an older server's or agent's. */
  generacion: Type.Optional(Type.String()),
  /** The columns of that upload, as the centre knows them (protocol/rows/drift.ts, huellaOf). */
  esquema: Type.Optional(Type.String()),
});
export type Watermark = Type.Static<typeof WatermarkSchema>;

const checker = Compile(Type.Record(Type.String(), WatermarkSchema));
/** The first format was the marks alone, by table; since the second they lie in `tablas`. */
const FORMAT = 2;
const FILE_NAME = 'last-sync.json';

/**
 * Returns what `last-sync.json` says, by table; nothing is changed.
 * @throws {AgentError} ARCHIVO_MAS_NUEVO
 */
export async function readWatermarks(folder: string): Promise<Map<string, Watermark> | 'damaged'> {
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
export class Watermarks {
  readonly #path: string;
  readonly #marks: Map<string, Watermark>;
  /** The last writing that was begun: several at once would share a temporary file. */
  #written: Promise<void> = Promise.resolve();

  private constructor(path: string, marks: Map<string, Watermark>) {
    this.#path = path;
    this.#marks = marks;
  }

  /**
   * Reads `last-sync.json`; none means that nothing has been uploaded. A damaged one is put aside as
   * `last-sync.json.danado` (and `onDamaged` told): uploading everything again is safe, guessing is not.
   * Throws ARCHIVO_MAS_NUEVO.
   */
  static async open(folder: string, onDamaged: (path: string) => void): Promise<Watermarks> {
    const path = join(folder, FILE_NAME);
    const marks = await readWatermarks(folder);
    if (marks !== 'damaged') return new Watermarks(path, marks);
    const aside = `${path}.danado`;
    await rename(path, aside);
    onDamaged(aside);
    return new Watermarks(path, new Map());
  }

  /** The mark of a table, or undefined when there is none made with `fingerprints`. */
  get(tabla: string, fingerprints: Fingerprints): Watermark | undefined {
    const mark = this.#marks.get(tabla);
    return mark !== undefined && isMadeWith(mark.huella, fingerprints) ? mark : undefined;
  }

  /** Whether there is a mark made with something else than `fingerprints`. */
  isOutdated(tabla: string, fingerprints: Fingerprints): boolean {
    const mark = this.#marks.get(tabla);
    return mark !== undefined && !isMadeWith(mark.huella, fingerprints);
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

  /** Whether the mark of a table names a ledger. */
  hasLedger(tabla: string): boolean {
    return this.#marks.get(tabla)?.libro !== undefined;
  }

  /** Says that the ledger of a table is of no use: the table is sent whole. */
  async forgetLedger(tabla: string): Promise<void> {
    const { libro, ...mark } = this.#marks.get(tabla) ?? {};
    if (libro !== undefined) await this.set(tabla, mark as Watermark);
  }

  /** Removes a mark and writes the file: the table is sent from the beginning. */
  async forget(tabla: string): Promise<void> {
    if (this.#marks.delete(tabla)) await this.#write();
  }

  /**
   * Sets a mark and writes the file; it is on disk when this resolves. Throws SqlServerError RELOJ_ILEGIBLE for one that could
   * not be read back, and then nothing is changed.
   */
  async set(tabla: string, mark: Watermark): Promise<void> {
    const times = [mark.local, mark.utc, mark.leido?.local, mark.leido?.utc, mark.entera, mark.revuelto, mark.quieta];
    const wrong = times.find((time) => time !== undefined && !isReadable(time));
    if (wrong !== undefined) throw sqlServerError('RELOJ_ILEGIBLE', { hora: wrong.slice(0, 40) });
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

/** What a mark was made with, in today's form and in that of earlier agents. */
export interface Fingerprints {
  actual: string;
  anterior: string;
}

/** Where rows are read and sent. */
interface ReadFrom {
  /** Where rows come from and go, as text. */
  endpoints: readonly string[];
  /** Which SQL Server that is, with its port or instance, and the login. */
  servidor: readonly string[];
}

/**
 * Returns what makes a mark meaningless when it changes: where the rows come from and go, as whom they are read, and
 * which rows they are. The earlier form knew neither port, login, `reloj` nor `pre_process`: a mark made with it holds
 * as long as nothing differs that it knew, and the first upload after that names the rest.
 */
export function fingerprintsOf(
  tabla: TablaSubida,
  { endpoints, servidor }: ReadFrom,
  sensitive?: { keyId: string; names: readonly string[] },
): Fingerprints {
  const { first, second, later } = markParts(tabla);
  const parts = [
    endpoints,
    ...first,
    // Left out where there is none, so that marks of an earlier version hold.
    ...(sensitive === undefined ? [] : [sensitive.keyId, sensitive.names.toSorted()]),
  ];
  const actual = `2:${digestOf([parts, servidor, ...second, ...(later.length === 0 ? [] : [later])])}`;
  // An earlier agent knew none of the later fields: a mark of it does not hold where one is given.
  return { actual, anterior: later.length === 0 ? digestOf(parts) : actual };
}

function digestOf(parts: unknown): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url').slice(0, 22);
}

/** Returns whether something was made with `fingerprints`. */
export function isMadeWith(huella: string, { actual, anterior }: Fingerprints): boolean {
  return huella === actual || huella === anterior;
}

/**
 * Returns what `@ultimaSync` is bound to. Without a mark: NULL where the query says what NULL means, else a day before
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

function handlesNull(query: string): boolean {
  return /@ultimaSync\s+IS\s+(NOT\s+)?NULL\b/i.test(query) || /\b(ISNULL|COALESCE)\s*\(\s*@ultimaSync\b/i.test(query);
}

function parseOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
