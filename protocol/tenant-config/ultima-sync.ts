import { cambiosOf } from './changes.ts';
import type { TablaSubida } from './config.ts';

/**
 * `@ultimaSync` in a query of SQL Server, and the rows without a date.
 *
 * `fecha > @ultimaSync` is not true of a row whose `fecha` is NULL, whatever the mark is: a reading that is to bring
 * everything has to ask for those rows too. Only what can be told apart for certain is rewritten: comparisons of one column
 * with the mark that select rows,
 *
 *     WHERE t.fecha > @ultimaSync        ▶        WHERE (t.fecha > @ultimaSync OR t.fecha IS NULL)
 *
 * and nothing of a query that mentions the mark anywhere else (in a CASE, behind NOT, as an argument, in a SELECT list).
 */

interface Token {
  text: string;
  /** Without case or brackets: what keywords are recognized by. */
  key: string;
  kind: 'name' | 'quoted' | 'variable' | 'sign' | 'other';
  start: number;
  end: number;
}

const TOKENS =
  /(?<space>\s+|--[^\n]*)|(?<comment>\/\*)|(?<text>[Nn]?'(?:[^']|'')*')|(?<quoted>\[(?:[^\]]|\]\])*\]|"(?:[^"]|"")*")|(?<variable>@@?[\w@#$]+)|(?<name>[\p{L}_#][\p{L}\p{N}_@#$]*)|(?<number>\d[\w.]*)|(?<sign>>=|<=|<>|!=|!<|!>|.)/gsuy;

const KINDS = ['quoted', 'variable', 'name', 'sign'] as const;

/** Undefined where quotes or comments do not end. */
function tokenize(sql: string): Token[] | undefined {
  const tokens: Token[] = [];
  for (let at = 0; at < sql.length; ) {
    TOKENS.lastIndex = at;
    const match = TOKENS.exec(sql);
    if (match === null) return undefined;
    const { space, comment, sign } = match.groups!;
    const [text] = match;
    if (comment !== undefined) {
      const end = endOfComment(sql, at);
      if (end === undefined) return undefined;
      at = end;
      continue;
    }
    const kind = KINDS.find((each) => match.groups![each] !== undefined) ?? 'other';
    if (sign !== undefined && /['"[]/.test(sign)) return undefined;
    if (space === undefined) tokens.push({ text, key: text.toLowerCase(), kind, start: at, end: at + text.length });
    at += text.length;
  }
  return tokens;
}

/** Comments of T-SQL nest. */
function endOfComment(sql: string, start: number): number | undefined {
  let depth = 0;
  for (let at = start; at < sql.length - 1; at++) {
    const pair = sql.slice(at, at + 2);
    if (pair === '/*') depth++;
    else if (pair === '*/') depth--;
    else continue;
    at++;
    if (depth === 0) return at + 1;
  }
  return undefined;
}

const MARK = '@ultimasync';
/** What a condition may follow that selects rows. */
const BEFORE = words('where and or on having (');
/** What may follow it: not THEN, and no operator. */
const BEHIND = words(') ; and or group order having union option for where inner left right full cross outer join');
/** What opens a parenthesis in which a condition still selects rows. */
const OPENERS = words('where and or on having ( from join apply as in exists');
/** Functions around the mark that make no other moment of it than a column could be compared with. */
const AROUND = words('isnull coalesce convert cast dateadd');

function words(text: string): ReadonlySet<string> {
  return new Set(text.split(' '));
}

/** Returns whether `sql` has the parameter `@ultimaSync` (T-SQL names are case-insensitive). */
export function mentionsMark(sql: string): boolean {
  return /@ultimaSync\b/i.test(sql);
}

/**
 * Returns `query` so that it also gives the rows that have NULL in the place of a date, where `@ultimaSync` is before
 * everything or NULL; `columns` are those that it looks at, as the query writes them. Undefined where it cannot be told
 * how. A query that never mentions the mark comes back as it is, and so does one that asks whether it is NULL: it says
 * itself what a first reading brings.
 */
export function withUndatedRows(query: string): { sql: string; columns: string[] } | undefined {
  const tokens = tokenize(query);
  if (tokens === undefined) return undefined;
  if (tokens.some(({ key }, index) => key === MARK && isNullTest(tokens, index))) return { sql: query, columns: [] };
  if (tokens.some(({ key, kind }) => kind === 'name' && key === 'except')) return undefined;
  const found = findComparisons(tokens);
  if (found === undefined) return undefined;
  let sql = '';
  let at = 0;
  for (const { first, last, column } of found) {
    const [start, end] = [tokens[first]!.start, tokens[last]!.end];
    sql += `${query.slice(at, start)}(${query.slice(start, end)} OR ${column} IS NULL)`;
    at = end;
  }
  return { sql: sql + query.slice(at), columns: [...new Set(found.map(({ column }) => column))] };
}

/** The comparisons with the mark, all of which select rows; undefined where the mark is anywhere else. */
function findComparisons(tokens: readonly Token[]): Comparison[] | undefined {
  const found: Comparison[] = [];
  /** One for each parenthesis that is open: whether conditions in it select rows. */
  const open: boolean[] = [];
  let cases = 0;
  for (const [index, { key, kind }] of tokens.entries()) {
    if (kind === 'name' && key === 'case') cases++;
    if (kind === 'name' && key === 'end' && cases > 0) cases--;
    if (key === '(') open.push(selectsRows(tokens, index));
    if (key === ')') open.pop();
    if (key !== MARK) continue;
    const comparison = cases === 0 ? readComparison(tokens, index) : undefined;
    if (comparison === undefined || open.slice(0, open.length - comparison.around).includes(false)) return undefined;
    found.push(comparison);
  }
  return found;
}

/**
 * Returns what becomes of the rows whose `campoFecha` is NULL: `siempre` where the query asks for them itself,
 * `enteras` where readings of everything do, `nunca`; undefined where there is no such column.
 */
export function undatedRowsOf({
  campoFecha,
  process,
  ...tabla
}: TablaSubida): 'siempre' | 'enteras' | 'nunca' | undefined {
  if (cambiosOf(tabla) !== 'marca' || campoFecha === undefined) return undefined;
  const name = campoFecha.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  if (new RegExp(`(^|[^\\p{L}\\p{N}_])${name}[\\]"]?\\s+IS\\s+NULL`, 'iu').test(process.query)) return 'siempre';
  return withUndatedRows(process.query) === undefined ? 'nunca' : 'enteras';
}

interface Comparison {
  /** Of its tokens. */
  first: number;
  last: number;
  column: string;
  /** Calls that the mark stands in. */
  around: number;
}

function isNullTest(tokens: readonly Token[], index: number): boolean {
  const [is, next, last] = tokens.slice(index + 1, index + 4).map(({ key }) => key);
  return is === 'is' && (next === 'null' || (next === 'not' && last === 'null'));
}

function selectsRows(tokens: readonly Token[], index: number): boolean {
  const [earlier, before] = [tokens[index - 2]?.key, tokens[index - 1]];
  if (before === undefined) return true;
  if (before.key === 'all') return earlier === 'union';
  if (before.key === 'union') return true;
  return isWord(before, OPENERS) && earlier !== 'not';
}

/** A name in brackets is no keyword. */
function isWord(token: Token, among: ReadonlySet<string>): boolean {
  return (token.kind === 'name' || token.kind === 'sign') && among.has(token.key);
}

/** The comparison of one column with the mark at `index`, where that is a whole condition. */
function readComparison(tokens: readonly Token[], index: number): Comparison | undefined {
  let [first, last, around] = [index, index, 0];
  for (let call = enclosingCall(tokens, first, last); call !== undefined; call = enclosingCall(tokens, first, last)) {
    [first, last, around] = [call.first, call.last, around + 1];
  }
  const [before, behind] = [tokens[first - 1]?.key ?? '', tokens[last + 1]?.key ?? ''];
  let column: string;
  if (before === '>' || before === '>=') {
    const end = first - 2;
    first = end;
    while (isName(tokens[first]) && tokens[first - 1]?.key === '.') first -= 2;
    column = textOf(tokens, first, end);
  } else if (behind === '<' || behind === '<=') {
    const start = last + 2;
    last = start;
    while (isName(tokens[last]) && tokens[last + 1]?.key === '.') last += 2;
    column = textOf(tokens, start, last);
  } else return undefined;
  const [outer, next] = [tokens[first - 1], tokens[last + 1]];
  if (column === '' || outer === undefined || !isWord(outer, BEFORE)) return undefined;
  if (next !== undefined && !isWord(next, BEHIND)) return undefined;
  return { first, last, column, around };
}

function isName(token: Token | undefined): boolean {
  return token?.kind === 'quoted' || (token?.kind === 'name' && token.key !== 'end' && token.key !== 'null');
}

/** Names and the dots between them, without what stands between; empty where that is something else. */
function textOf(tokens: readonly Token[], from: number, to: number): string {
  const parts = tokens.slice(Math.max(from, 0), to + 1);
  const isReference = parts.length > 0 && parts.every((part, n) => (n % 2 === 0 ? isName(part) : part.key === '.'));
  return isReference ? parts.map(({ text }) => text).join('') : '';
}

/** The call of one of AROUND whose arguments hold the tokens from `first` to `last`. */
function enclosingCall(tokens: readonly Token[], first: number, last: number) {
  const start = findParenthesis(tokens, first, -1);
  const end = findParenthesis(tokens, last, 1);
  const name = start === undefined ? undefined : tokens[start - 1];
  if (start === undefined || end === undefined || name === undefined || !isWord(name, AROUND)) return undefined;
  return { first: start - 1, last: end };
}

/** The next one that is open around `from`. */
function findParenthesis(tokens: readonly Token[], from: number, step: 1 | -1): number | undefined {
  const [opens, closes] = step === 1 ? ['(', ')'] : [')', '('];
  let depth = 0;
  for (let at = from + step; at >= 0 && at < tokens.length; at += step) {
    const { key } = tokens[at]!;
    if (key === opens) depth++;
    else if (key === closes && depth-- === 0) return at;
  }
  return undefined;
}
