const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const CLOSE = 0x7d;

/** Where values end in a line of JSON, as bytes, without blanks: it ends before `end`, by default with the bytes. */

/**
 * Returns the offset behind the string whose opening quote is at `start`.
 * @throws {SyntaxError} where there is none, or no end
 */
export function endOfString(bytes: Uint8Array, start: number, end = bytes.length): number {
  if (bytes[start] !== QUOTE) throw new SyntaxError('a string was expected');
  for (let at = start + 1; at < end; at++) {
    const byte = bytes[at];
    if (byte === QUOTE) return at + 1;
    if (byte === BACKSLASH) at++;
  }
  throw new SyntaxError('a string that does not end');
}

/**
 * Returns the offset behind a value of an object that is no object or list itself.
 * @throws {SyntaxError} where it does not end
 */
export function endOfScalar(bytes: Uint8Array, start: number, end = bytes.length): number {
  if (bytes[start] === QUOTE) return endOfString(bytes, start, end);
  for (let at = start; at < end; at++) {
    const byte = bytes[at];
    if (byte === COMMA || byte === CLOSE) return at;
  }
  throw new SyntaxError('a value that does not end');
}
