import { createHash } from 'node:crypto';

/** Schema drift: what of a table's columns changed between two descriptions of its query's result, and what that means. Pure. */

/** A column as SQL Server describes it in a result (COLMETADATA). Its place in the list is its order. */
export interface Columna {
  nombre: string;
  /** In lower case: `int`, `nvarchar`, `decimal`, `rowversion`. */
  tipo: string;
  /** char, varchar, binary, varbinary: bytes; nchar, nvarchar: UTF-16 code units. */
  longitud?: number | 'max';
  precision?: number;
  escala?: number;
  nula: boolean;
  /** Of characters, as `lcid/flags/sortId`. Nothing is concluded from it. */
  colacion?: string;
  /** Whether it leaves the tenant encrypted. */
  sensible?: true;
}

/** What an upload table does about a change: goes on, goes on and waits for a person, stops. */
export const POLITICAS = ['evolucionar', 'avisar', 'congelar'] as const;
export type Politica = (typeof POLITICAS)[number];

export const CLASES = ['nueva', 'quitada', 'ensanchada', 'estrechada', 'otroTipo', 'clave'] as const;
export type Clase = (typeof CLASES)[number];

export interface Cambio {
  clase: Clase;
  /** `primaryKey` where that itself is another one. */
  columna: string;
  /** Its type before; not there for a new column. */
  antes?: string;
  /** Its type now; not there for a column that went. */
  ahora?: string;
  /** Of a column that went: the one that may be the same under another name. A hint, from which nothing follows. */
  renombrada?: string;
}

/** Columns of a result: SQL Server has at most 4,096 in a SELECT, 1,024 in a table. */
export const COLUMNAS_MAX = 4096;

/**
 * Returns the digest of a description. Order, case of names and collation are no part of it, because no class of change comes of
 * them; SQL Server's names know no case.
 */
export function huellaOf(columnas: readonly Columna[]): string {
  const parts = columnas
    .map(({ nombre, tipo, longitud, precision, escala, nula }) => [
      nameOf(nombre),
      ...[tipo, longitud ?? null, precision ?? null, escala ?? null, nula],
    ])
    .sort(([a], [b]) => (String(a) < String(b) ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** Returns a name as it is compared. */
export function nameOf(nombre: string): string {
  return nombre.toLowerCase();
}

/** A description, and the columns of the key by which its rows are known. */
export interface Described {
  columnas: readonly Columna[];
  primaryKey: readonly string[];
}

/** Returns what changed, in the order of the columns: those of before, then the new ones. */
export function changesBetween(before: Described, now: Described): Cambio[] {
  const had = byName(before.columnas);
  const has = byName(now.columnas);
  const keys = new Set([...keyNames(before), ...keyNames(now)]);
  const changes: Cambio[] = [];
  if (keyText(before.primaryKey) !== keyText(now.primaryKey)) {
    const [antes, ahora] = [before, now].map(({ primaryKey }) => primaryKey.join(', ') || 'codigo');
    changes.push({ clase: 'clave', columna: 'primaryKey', antes: antes!, ahora: ahora! });
  }
  for (const [name, old] of had) {
    const column = has.get(name);
    const change = column === undefined ? goneOf(old) : changeOf(old, column);
    if (change === undefined) continue;
    const isKey = keys.has(name) && !keepsKeys(change, old, column);
    changes.push(isKey ? { ...change, clase: 'clave' } : change);
  }
  for (const [name, column] of has) {
    if (!had.has(name)) changes.push({ clase: 'nueva', columna: column.nombre, ahora: typeTextOf(column) });
  }
  return withHint(changes);
}

function byName(columnas: readonly Columna[]): Map<string, Columna> {
  return new Map(columnas.map((column) => [nameOf(column.nombre), column]));
}

/** The columns that a row's key is made of (SPEC.md, R2): `codigo` may stand for a single one. */
function keyNames({ columnas, primaryKey }: Described): string[] {
  const names = primaryKey.map(nameOf);
  if (names.length > 1) return names;
  const found = columnas.some(({ nombre }) => nameOf(nombre) === 'codigo');
  return found ? [...names, 'codigo'] : names;
}

function keyText(primaryKey: readonly string[]): string {
  return JSON.stringify(primaryKey.length === 0 ? ['codigo'] : primaryKey.map(nameOf));
}

function goneOf(old: Columna): Cambio {
  return { clase: 'quitada', columna: old.nombre, antes: typeTextOf(old) };
}

/** Undefined: none that matters. That no value is NULL any more is none. */
function changeOf(old: Columna, now: Columna): Cambio | undefined {
  const width = compareTypes(old, now);
  const opened = !old.nula && now.nula;
  if (width === 'same' && !opened) return undefined;
  const clase = width === 'same' ? 'ensanchada' : width;
  return { clase, columna: now.nombre, antes: typeTextOf(old), ahora: typeTextOf(now) };
}

/**
 * Returns whether values of a key that changed so are written as before: a wider one that has the same scale and is not
 * padded.
 */
function keepsKeys({ clase }: Cambio, old: Columna, now: Columna | undefined): boolean {
  if (clase !== 'ensanchada' || now === undefined) return false;
  const isPadded = kindOf(old).padded && old.longitud !== now.longitud;
  return (old.escala ?? 0) === (now.escala ?? 0) && !isPadded;
}

type Width = 'same' | 'ensanchada' | 'estrechada' | 'otroTipo';

/** What values of a type hold: of two types of one kind, which holds all of the other. */
interface Kind {
  kind: string;
  /** Sizes in several respects: wider is where none is smaller. */
  sizes: readonly number[];
  /** Filled up with blanks or zeros to its length. */
  padded: boolean;
}

const INTEGERS = ['tinyint', 'smallint', 'int', 'bigint'];
const ENDLESS = Number.POSITIVE_INFINITY;

function kindOf({ tipo, longitud, precision = 0, escala = 0 }: Columna): Kind {
  const kind = (name: string, sizes: readonly number[], padded = false) => ({ kind: name, sizes, padded });
  const length = longitud === 'max' || longitud === undefined ? ENDLESS : longitud;
  if (INTEGERS.includes(tipo)) return kind('integer', [INTEGERS.indexOf(tipo)]);
  switch (tipo) {
    case 'decimal':
    case 'numeric':
      return kind('decimal', [precision - escala, escala]);
    case 'smallmoney':
    case 'money':
      return kind('money', [tipo === 'money' ? 1 : 0]);
    case 'real':
    case 'float':
      return kind('float', [tipo === 'float' ? 1 : 0]);
    case 'char':
    case 'nchar':
      return kind('padded text', [tipo === 'nchar' ? 1 : 0, length], true);
    case 'varchar':
    case 'text':
      return kind('text', [0, length]);
    case 'nvarchar':
    case 'ntext':
      return kind('text', [1, length]);
    case 'binary':
      return kind('padded bytes', [length], true);
    case 'varbinary':
    case 'image':
      return kind('bytes', [length]);
    default:
      return kind(tipo, [escala]);
  }
}

function compareTypes(old: Columna, now: Columna): Width {
  const [before, after] = [kindOf(old), kindOf(now)];
  if (before.kind !== after.kind) return 'otroTipo';
  const pairs = before.sizes.map((size, index) => [size, after.sizes[index]!] as const);
  if (pairs.some(([from, to]) => to < from)) return 'estrechada';
  return pairs.some(([from, to]) => to > from) ? 'ensanchada' : 'same';
}

/** Names the new column, where there is one that may be the one that went. */
function withHint(changes: readonly Cambio[]): Cambio[] {
  const gone = changes.filter(({ ahora }) => ahora === undefined);
  const added = changes.filter(({ clase }) => clase === 'nueva');
  const [one, other] = [gone[0], added[0]];
  if (gone.length !== 1 || added.length !== 1 || one!.antes !== other!.ahora) return [...changes];
  return changes.map((change) => (change === one ? { ...change, renombrada: other!.columna } : change));
}

/** Returns the type as T-SQL writes it. */
export function typeTextOf({ tipo, longitud, precision, escala, nula }: Columna): string {
  const numbers = longitud === undefined ? [precision, escala].filter((number) => number !== undefined) : [longitud];
  const inside = numbers.length === 0 ? '' : `(${numbers.join(',')})`;
  return `${tipo}${inside}`.toUpperCase() + (nula ? '' : ' NOT NULL');
}

/**
 * Returns what is to be done about a change; another key always stops. Without a policy, only what may lose something
 * waits.
 */
export function politicaFor(clase: Clase, politica: Politica = 'avisar'): Politica {
  if (clase === 'clave' || politica === 'congelar') return 'congelar';
  return clase === 'nueva' || clase === 'ensanchada' ? 'evolucionar' : politica;
}

/** What an upload whose description changed does. */
export type Decision =
  | { kind: 'stop'; cambios: Cambio[] }
  /** Goes on. Values of columns that went stay until a person confirms. */
  | { kind: 'wait'; cambios: Cambio[] }
  | { kind: 'evolve'; cambios: Cambio[] };

/**
 * Decides about changes of which there is at least one. `waiting`: this very description waits for a person already; that a policy
 * is another one since then decides nothing in his place.
 */
export function decide(cambios: Cambio[], politica: Politica | undefined, waiting: boolean): Decision {
  const verdicts = cambios.map(({ clase }) => politicaFor(clase, politica));
  if (verdicts.includes('congelar')) return { kind: 'stop', cambios };
  const asked = cambios.some(({ clase }) => politicaFor(clase) === 'avisar');
  return { kind: verdicts.includes('avisar') || (waiting && asked) ? 'wait' : 'evolve', cambios };
}

/** Changes that a line has room for. */
const SHOWN = 8;

/** Returns the changes as an operator reads them, Spanish. */
export function describeCambios(cambios: readonly Cambio[], total = cambios.length): string {
  const shown = cambios.slice(0, SHOWN).map(describeCambio).join('; ');
  return total > SHOWN ? `${shown}; y ${total - SHOWN} más` : shown;
}

/** Says what to do about new columns where only rows that changed were read, Spanish. */
export function describeUnread(cambios: readonly Cambio[]): string[] {
  if (!cambios.some(({ clase }) => clase === 'nueva')) return [];
  return [
    'las filas que no cambien no tienen las columnas nuevas hasta que la tabla suba entera (--desde-cero, o completoCada)',
  ];
}

const VERBS: Record<Clase, string> = {
  nueva: 'es nueva',
  quitada: 'ya no está',
  ensanchada: 'es más ancha',
  estrechada: 'es más estrecha',
  otroTipo: 'es de otro tipo',
  clave: 'es de la clave y cambió',
};

function describeCambio({ clase, columna, antes, ahora, renombrada }: Cambio): string {
  const types = [antes, ahora].filter((type) => type !== undefined).join(' → ');
  const gone = clase === 'clave' && ahora === undefined ? 'es de la clave y ya no está' : VERBS[clase];
  const hint = renombrada === undefined ? '' : `; ¿ahora se llama «${renombrada}»?`;
  return columna === 'primaryKey' && clase === 'clave'
    ? `primaryKey cambió (${types})`
    : `«${columna}» ${gone} (${types}${hint})`;
}
