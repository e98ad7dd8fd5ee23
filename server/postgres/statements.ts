/** One statement of a text, and where it begins in it (0-based). */
export interface Statement {
  sql: string;
  offset: number;
}

/** What a semicolon inside does not end: comments, quoted names, texts of every kind. */
const opaque =
  /--[^\n]*|\/\*|"(?:[^"]|"")*"?|\be'(?:[^'\\]|''|\\[\s\S])*'?|'(?:[^']|'')*'?|\$(?:[\p{L}_][\p{L}\p{N}_]*)?\$|[\p{L}_][\p{L}\p{N}_$]*|;/giu;

/**
 * Splits SQL at its semicolons, as PostgreSQL's lexer would (with standard_conforming_strings on); empty statements are
 * left out. Nothing relies on it but convenience: each statement is given to PostgreSQL as exactly one, and is refused
 * where it is not.
 */
export function splitStatements(sql: string): Statement[] {
  const statements: Statement[] = [];
  let from = 0;
  const add = (end: number) => {
    const text = sql.slice(from, end);
    const blanks = /^\s*/.exec(text)![0].length;
    if (blanks < text.length && !isOnlyComments(text)) {
      statements.push({ sql: text.trim(), offset: from + blanks });
    }
    from = end + 1;
  };
  opaque.lastIndex = 0;
  for (let found = opaque.exec(sql); found !== null; found = opaque.exec(sql)) {
    const [token] = found;
    if (token === ';') add(found.index);
    else if (token === '/*') opaque.lastIndex = endOfComment(sql, found.index);
    else if (token.startsWith('$')) {
      const end = sql.indexOf(token, opaque.lastIndex);
      opaque.lastIndex = end === -1 ? sql.length : end + token.length;
    }
  }
  add(sql.length);
  return statements;
}

/** Block comments nest. */
function endOfComment(sql: string, start: number): number {
  let depth = 0;
  const marks = /\/\*|\*\//g;
  marks.lastIndex = start;
  for (let found = marks.exec(sql); found !== null; found = marks.exec(sql)) {
    depth += found[0] === '/*' ? 1 : -1;
    if (depth === 0) return marks.lastIndex;
  }
  return sql.length;
}

function isOnlyComments(text: string): boolean {
  let at = 0;
  while (at < text.length) {
    const blank = /^(?:\s+|--[^\n]*)/.exec(text.slice(at));
    if (blank !== null) at += blank[0].length;
    else if (text.startsWith('/*', at)) at = endOfComment(text, at);
    else return false;
  }
  return true;
}
