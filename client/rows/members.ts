/** The members of JSON objects, one a line, without parsing their values: a number keeps every digit. */

/**
 * Returns the object in `line` with the value of each of its members replaced by what `replace` makes of it (JSON text,
 * as it is given). What lies deeper is part of the value. `line` must be a JSON object; throws SyntaxError where it is
 * not.
 */
export function replaceMembers(line: string, replace: (name: string, json: string) => string): string {
  const skipBlanks = () => {
    while (/\s/.test(line[at] ?? '')) at++;
  };
  let at = 0;
  let done = '';
  skipBlanks();
  if (line[at] !== '{') throw new SyntaxError('not a JSON object');
  at++;
  skipBlanks();
  if (line[at] === '}') return line;
  let copied = 0;
  for (;;) {
    skipBlanks();
    const nameEnd = endOfString(line, at);
    const name = JSON.parse(line.slice(at, nameEnd)) as string;
    at = nameEnd;
    skipBlanks();
    if (line[at] !== ':') throw new SyntaxError('a member without a value');
    at++;
    skipBlanks();
    const end = endOfValue(line, at);
    const json = line.slice(at, end);
    const replaced = replace(name, json);
    if (replaced !== json) {
      done += line.slice(copied, at) + replaced;
      copied = end;
    }
    at = end;
    skipBlanks();
    if (line[at] === '}') return done + line.slice(copied);
    if (line[at] !== ',') throw new SyntaxError('an object that does not end');
    at++;
  }
}

/** Behind the string that begins at `start`. */
function endOfString(line: string, start: number): number {
  if (line[start] !== '"') throw new SyntaxError('a string was expected');
  for (let at = start + 1; ; ) {
    const quote = line.indexOf('"', at);
    if (quote < 0) throw new SyntaxError('a string that does not end');
    let slashes = 0;
    while (line[quote - 1 - slashes] === '\\') slashes++;
    if (slashes % 2 === 0) return quote + 1;
    at = quote + 1;
  }
}

/** Behind the value that begins at `start`. */
function endOfValue(line: string, start: number): number {
  const first = line[start];
  if (first === '"') return endOfString(line, start);
  if (first !== '{' && first !== '[') {
    const scalar = /[^,}\]\s]*/y;
    scalar.lastIndex = start;
    scalar.exec(line);
    if (scalar.lastIndex === start) throw new SyntaxError('a value was expected');
    return scalar.lastIndex;
  }
  let depth = 0;
  for (let at = start; at < line.length; ) {
    const char = line[at];
    if (char === '"') {
      at = endOfString(line, at);
      continue;
    }
    if (char === '{' || char === '[') depth++;
    if (char === '}' || char === ']') depth--;
    at++;
    if (depth === 0) return at;
  }
  throw new SyntaxError('a value that does not end');
}
