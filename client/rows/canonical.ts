import { TextHash } from '../../protocol/rows/hash.ts';
import { type Layout, readLayout } from './canonical-layout.ts';
import { LineScan } from './line-scan.ts';

/**
 * Rows as PostgreSQL has them, from the bytes of their NDJSON: the key and the name in their columns, and jsonb's own text of the
 * document (keys by length and then by bytes, `", "` and `": "`, numbers in plain notation with their scale), so that both sides
 * find the same hash of the same row without sending it:
 *
 *     clave = hashtextextended(codigo, semilla)
 *     fila  = hashtextextended(parametros_json::text, hashtextextended(nombre, clave))   -- nombre NULL: ~clave
 *             & ~1 | activo
 *
 * The key is inside the row's hash: contents that two rows have exchanged are two differences.
 *
 * All lines of a result have the same columns in the same order (row-transcoder.ts), so that names are looked at once. What is
 * between two names is copied as it stands: strings are escaped by JSON.stringify's rules, which are escape_json's.
 */

const OPEN = 0x7b;
const CLOSE = 0x7d;
/** Longer values are copied natively. */
const LOOP_MAX_BYTES = 48;

/** One reading of a table, row by row. After `next`, what it says is of the row read last. */
export class CanonicalRows {
  keyHigh = 0;
  keyLow = 0;
  rowHigh = 0;
  /** Its lowest bit: `activo`. */
  rowLow = 0;
  /** Whether an upload would refuse the row: without key, with two that differ, or with another `activo` than there is. */
  invalid = false;
  readonly seed: bigint;
  readonly #primaryKey: readonly string[];
  readonly #hash: TextHash;
  #layout: Layout | undefined;
  readonly #line = new LineScan();
  #out = Buffer.allocUnsafeSlow(64 * 1024);
  #key: Uint8Array = new Uint8Array(0);
  #keyStart = 0;
  #keyEnd = 0;

  constructor(primaryKey: readonly string[], seed: bigint) {
    this.seed = seed;
    this.#primaryKey = primaryKey;
    this.#hash = new TextHash(seed);
  }

  /** Goes on with these lines, all of which must be whole. */
  begin(bytes: Uint8Array): void {
    this.#line.begin(bytes);
  }

  /** Reads the next row; false at the end of the lines. Throws Error where a line has other columns than the first. */
  next(): boolean {
    const line = this.#line;
    if (line.at >= line.bytes.length) return false;
    this.#layout ??= this.#readLayout();
    line.scan(this.#layout);
    this.#hashRow(this.#layout);
    return true;
  }

  /** The key of the row, as the centre has it. */
  get codigo(): string {
    return Buffer.from(this.#key.subarray(this.#keyStart, this.#keyEnd)).toString('utf8');
  }

  /** Bytes of the key. */
  get keyLength(): number {
    return this.#keyEnd - this.#keyStart;
  }

  /** Writes the bytes of the key. */
  copyKey(out: Uint8Array, position: number): void {
    const key = this.#key;
    const end = this.#keyEnd;
    let at = position;
    for (let from = this.#keyStart; from < end; from++) out[at++] = key[from]!;
  }

  /** The line of the row, with its end; valid as long as the bytes of `begin`. */
  get line(): Uint8Array {
    const { bytes, lineStart, at } = this.#line;
    return bytes.subarray(lineStart, at);
  }

  /** The document as jsonb's text. */
  get documentText(): string {
    return this.#out.toString('utf8', 0, this.#document(this.#layout!));
  }

  /** The name in its column; null where there is none. */
  get nombre(): string | null {
    return this.#findNombre(this.#layout!) ? Buffer.from(this.#line.textBytes()).toString('utf8') : null;
  }

  /** The canonical text of each member of the document, by name. */
  get members(): Map<string, string> {
    const { kept, names } = this.#layout!;
    const found = new Map<string, string>();
    for (const column of kept) {
      const end = this.#writeValue(column, 0);
      found.set(names[column]!, this.#out.toString('utf8', 0, end));
    }
    return found;
  }

  /** What the first line says of all. */
  #readLayout(): Layout {
    const layout = readLayout(this.#line.peek(), this.#primaryKey);
    this.#line.hold(layout.names.length);
    return layout;
  }

  #hashRow(layout: Layout): void {
    const hash = this.#hash;
    const line = this.#line;
    const active = line.readActivo(layout.activo);
    this.invalid = !this.#readKey(layout) || active === undefined;
    if (this.invalid) return;
    hash.update(this.#key, this.#keyStart, this.#keyEnd);
    let high = hash.high | 0;
    let low = hash.low | 0;
    this.keyHigh = hash.high;
    this.keyLow = hash.low;
    if (this.#findNombre(layout)) {
      hash.update(line.text, line.textStart, line.textEnd, high, low);
      high = hash.high | 0;
      low = hash.low | 0;
    } else {
      high = ~high;
      low = ~low;
    }
    const end = this.#document(layout);
    hash.update(this.#out, 0, end, high, low);
    this.rowHigh = hash.high;
    this.rowLow = ((hash.low & ~1) | (active ? 1 : 0)) >>> 0;
  }

  /** False where there is none, or where two values that should be one differ. */
  #readKey({ key, twin }: Layout): boolean {
    if (key.length === 0) return false;
    if (key.length > 1) return this.#readJoinedKey(key);
    const line = this.#line;
    if (!line.findScalar(key[0]!)) return false;
    this.#key = line.text;
    this.#keyStart = line.textStart;
    this.#keyEnd = line.textEnd;
    if (twin < 0) return true;
    return (
      line.findScalar(twin) && Buffer.compare(this.#key.subarray(this.#keyStart, this.#keyEnd), line.textBytes()) === 0
    );
  }

  #readJoinedKey(key: Int32Array): boolean {
    const parts: string[] = [];
    for (const column of key) {
      if (!this.#line.findScalar(column)) return false;
      const text = Buffer.from(this.#line.textBytes()).toString('utf8');
      parts.push(text.replaceAll('\\', '\\\\').replaceAll('|', '\\|'));
    }
    this.#key = Buffer.from(parts.join('|'));
    this.#keyStart = 0;
    this.#keyEnd = this.#key.length;
    return true;
  }

  #findNombre({ nombre }: Layout): boolean {
    for (let i = 0; i < nombre.length; i++) if (this.#line.findText(nombre[i]!)) return true;
    return false;
  }

  /** Writes the document to the scratch and answers its end. */
  #document({ kept, prefixes }: Layout): number {
    const columns = kept.length;
    const { at: lineEnd, lineStart } = this.#line;
    this.#reserve(lineEnd - lineStart + 4 * columns + 2);
    let at = 0;
    if (columns === 0) this.#out[at++] = OPEN;
    for (let i = 0; i < columns; i++) {
      const prefix = prefixes[i]!;
      // Anew for each: a long number makes it grow.
      const out = this.#out;
      for (let j = 0; j < prefix.length; j++) out[at++] = prefix[j]!;
      at = this.#writeValue(kept[i]!, at);
    }
    this.#out[at++] = CLOSE;
    return at;
  }

  #writeValue(column: number, position: number): number {
    const line = this.#line;
    const number = line.unusualNumber(column);
    if (number !== undefined) {
      this.#reserve(position + number.length + 2 * (line.at - line.lineStart) + 64);
      return position + this.#out.write(number, position, 'latin1');
    }
    const { bytes } = line;
    const start = line.starts[column]!;
    const end = line.ends[column]!;
    const out = this.#out;
    let at = position;
    if (end - start > LOOP_MAX_BYTES) {
      out.set(bytes.subarray(start, end), at);
      return at + end - start;
    }
    for (let from = start; from < end; from++) out[at++] = bytes[from]!;
    return at;
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#out.length) return;
    const grown = Buffer.allocUnsafeSlow(2 * bytes);
    grown.set(this.#out);
    this.#out = grown;
  }
}
