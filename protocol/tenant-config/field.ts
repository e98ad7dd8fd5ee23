import type Type from 'typebox';

/**
 * One declaration of a configuration field: its schema, what an operator reads about it, and what it touches. The fingerprint of a
 * mark, the list that `--aprobar-sql` approves and the tables of `docs/configuracion.md` derive from these declarations.
 */
export interface Field<S extends Type.TSchema = Type.TSchema, T = Touches<never>> {
  readonly schema: S;
  /** Spanish, in Markdown: the cell of `docs/configuracion.md`. */
  readonly description: string;
  /** What its name means, for `docs/GLOSSARY.md`. */
  readonly english: string;
  readonly touches: T;
  /** Where its SQL is listed for approval, with that of other fields of the same place. Defaults to the field's name. */
  readonly place?: string;
  /** The fields that its value consists of; the documentation lists them in place of it. */
  readonly members?: Fields;
}

export type Fields = Readonly<Record<string, Field>>;

/** What a field touches. `V` is its value, undefined where it is left away. */
export interface Touches<V> {
  /** Another value names another table, column or connection. */
  identity?: true;
  /** Which SQL Server is meant: its address and login are part of the mark's fingerprint, and are approved. */
  server?: true;
  /**
   * Which rows an upload reads, or what becomes of them at the centre: with another value its mark is void and the table is sent whole.
   * Returns what counts of the value; undefined means the same as a field that is left away.
   */
  rows?: true | ((value: V | undefined, tabla: { nombre: string }) => unknown);
  /** How much is read again and in which pieces: rows that were sent stay sent. */
  reading?: true;
  /** What is run at SQL Server, or becomes SQL there: approved as this text. Returns undefined where there is nothing to approve. */
  sql?: true | ((value: V | undefined) => string | undefined);
  /** Columns that must not be read at the centre: what changes is held against what is pinned on the agent's machine. */
  secrecy?: true | ((value: V | undefined) => readonly string[]);
  /** What is done at the centre alone. */
  centre?: true;
  /** When a person is asked before many rows go. */
  guard?: true;
  /** How fast, how much at once and when; nothing of what is sent. */
  pace?: true;
}

export type Effect = keyof Touches<never>;

/** A field that touches nothing has not been thought about: `{}` does not compile. */
type AtLeastOne<T> = { [K in keyof T]-?: Required<Pick<T, K>> & Partial<Omit<T, K>> }[keyof T];

interface Declaration<T> {
  description: string;
  english: string;
  touches: T;
  place?: string;
  members?: Fields;
}

/** Declares a field. Without `touches`, or with nothing in it, it does not compile. */
export function field<S extends Type.TSchema, const T extends AtLeastOne<Touches<Type.Static<S>>>>(
  schema: S,
  declaration: Declaration<T>,
): Field<S, T> {
  return { schema, ...declaration };
}

/** The names of the fields that touch `E`. */
export type FieldsTouching<F extends Fields, E extends Effect> = {
  [K in keyof F]: F[K]['touches'] extends Readonly<Record<E, unknown>> ? K : never;
}[keyof F] &
  string;

/** Returns the properties of a `Type.Object` made of fields. */
export function schemasOf<const F extends Fields>(fields: F): { -readonly [K in keyof F]: F[K]['schema'] } {
  const entries = Object.entries(fields).map(([name, { schema }]) => [name, schema]);
  return Object.fromEntries(entries) as { -readonly [K in keyof F]: F[K]['schema'] };
}

/**
 * Returns what of a field's value counts for the fingerprint of a mark. Returns undefined where it says the same as no
 * value.
 */
export function rowsOf({ touches }: Field, value: unknown, tabla: { nombre: string }): unknown {
  return typeof touches.rows === 'function' ? touches.rows(value as never, tabla) : value;
}

/**
 * Fields that touch `rows` and are not in `known`, as `[name, value]`, sorted by name. Fingerprints that exist hold the known ones in
 * an order of their own; a field that came later is added only where it is given, so that marks made without it stay valid.
 */
export function laterRows(
  fields: Fields,
  value: Readonly<Record<string, unknown>>,
  known: readonly string[],
  tabla: { nombre: string },
): [string, unknown][] {
  return Object.entries(fields)
    .filter(([name, { touches }]) => touches.rows !== undefined && !known.includes(name))
    .map(([name, field]): [string, unknown] => [name, rowsOf(field, value[name], tabla)])
    .filter(([, part]) => part !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Fields that touch `sql`, are given and not in `known`, as `name value`: what older versions did not list for approval. */
export function laterSql(fields: Fields, value: object, known: readonly string[]): string[] {
  return Object.entries(fields).flatMap(([name, field]) => {
    if (field.touches.sql === undefined || known.includes(name)) return [];
    const text = sqlOf(field, (value as Readonly<Record<string, unknown>>)[name]);
    return text === undefined ? [] : [`${name} ${text}`];
  });
}

function sqlOf({ touches }: Field, value: unknown): string | undefined {
  if (typeof touches.sql === 'function') return touches.sql(value as never);
  if (touches.sql === undefined || value === undefined) return undefined;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/**
 * Returns what has to be approved of an object made of `fields`, by place; fields of one place are lines of one text.
 */
export function sqlByPlaceOf(fields: Fields, value: object): Record<string, string> {
  const lines: Record<string, string[]> = {};
  for (const [name, field] of Object.entries(fields)) {
    const text = sqlOf(field, (value as Readonly<Record<string, unknown>>)[name]);
    if (text === undefined) continue;
    const place = field.place ?? name;
    lines[place] = [...(lines[place] ?? []), text];
  }
  return Object.fromEntries(Object.entries(lines).map(([place, texts]) => [place, texts.join('\n')]));
}

/** Returns the columns that the fields of a table keep secret, in lower case, without repetition. */
export function secretColumnsOf(fields: Fields, value: object): string[] {
  const found = Object.entries(fields).flatMap(([name, { touches }]) => {
    const given = (value as Readonly<Record<string, unknown>>)[name];
    return typeof touches.secrecy === 'function' ? touches.secrecy(given as never) : [];
  });
  return [...new Set(found.map((column) => column.toLowerCase()))].sort();
}
