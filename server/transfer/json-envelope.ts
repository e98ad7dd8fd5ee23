import { jsonParser, type Token } from 'stream-json/core/parser.js';
import { defined } from '../../protocol/defined.ts';
import { SyncError } from '../../protocol/errors.ts';

/** What the envelope says beside its rows, once it has been read to its end. */
export interface EnvelopeHead {
  tabla: string | undefined;
}

/** A name is not longer than this; more is not kept. */
const TABLA_MAX_LENGTH = 1000;

/** Containers in containers: each open one is remembered. */
const DEPTH_MAX = 1000;

/**
 * Streams the specification's upload body, `{"tabla": …, "data": [rows], "timestamp": …}` in any order of keys, as
 * NDJSON: one line for each element of `data`, so a line's number is the row's. Values pass as text: numbers keep every
 * digit. `tabla` is stored in `head`; other keys are passed over. Nothing is held but one piece of the body.
 *
 * Fails with CUERPO_INVALIDO where the body is not such an object.
 */
export function readEnvelope(head: EnvelopeHead) {
  return async function* (source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    const parse = jsonParser({ packValues: false, streamValues: true });
    const decoder = new TextDecoder('utf-8', { fatal: true });
    const reader = new EnvelopeReader(head);
    for await (const bytes of source) {
      for (const token of parseTokens(() => parse(decoder.decode(bytes, { stream: true })))) reader.read(token);
      const text = reader.take();
      if (text !== '') yield Buffer.from(text);
    }
    reader.finish();
  };
}

function parseTokens(parse: () => unknown): Token[] {
  try {
    const result = parse();
    // No token yet is a symbol, many are an object with `values`.
    return typeof result === 'object' && result !== null ? (result as { values: Token[] }).values : [];
  } catch (cause) {
    throw invalid(`no es JSON válido: ${cause instanceof Error ? cause.message : String(cause)}`, undefined, cause);
  }
}

/** Follows the tokens: depth 1 is the envelope, depth 2 the list `data`, from 3 on a row. */
class EnvelopeReader {
  readonly #head: EnvelopeHead;
  readonly #seen = new Set<string>();
  #depth = 0;
  #out = '';
  #key = '';
  #inKey = false;
  #inData = false;
  #ended = false;
  /** Whether the next key or element of a row needs a comma before it, for each open container of the row. */
  #comma: boolean[] = [];
  #afterKey = false;

  constructor(head: EnvelopeHead) {
    this.#head = head;
  }

  /** The NDJSON written since the last call. */
  take(): string {
    const text = this.#out;
    this.#out = '';
    return text;
  }

  finish(): void {
    if (!this.#ended) throw invalid('está incompleto');
    if (!this.#seen.has('data')) throw invalid('no tiene «data»', 'data');
    if (!this.#head.tabla) throw invalid('no tiene «tabla»', 'tabla');
  }

  read(token: Token): void {
    if (this.#depth === 0 && token.name !== 'startObject') throw invalid('no es un objeto');
    if (this.#depth > DEPTH_MAX) throw invalid(`está anidado a más de ${DEPTH_MAX} niveles`);
    if (this.#inData && (this.#depth > 2 || token.name !== 'endArray')) {
      this.#readRow(token);
      return;
    }
    switch (token.name) {
      case 'startObject':
      case 'startArray':
        if (this.#depth === 1) this.#startValue(token);
        this.#depth += 1;
        break;
      case 'endObject':
      case 'endArray':
        this.#inData = false;
        this.#depth -= 1;
        this.#ended = this.#depth === 0;
        break;
      case 'startKey':
        this.#inKey = true;
        this.#key = '';
        break;
      case 'endKey':
        this.#inKey = false;
        if (this.#depth === 1) this.#checkKey();
        break;
      case 'stringChunk':
        if (this.#inKey) this.#key = (this.#key + token.value).slice(0, TABLA_MAX_LENGTH);
        else if (this.#depth === 1 && this.#key === 'tabla') {
          this.#head.tabla = ((this.#head.tabla ?? '') + token.value).slice(0, TABLA_MAX_LENGTH);
        }
        break;
      case 'startString':
      case 'startNumber':
      case 'nullValue':
      case 'trueValue':
      case 'falseValue':
        if (this.#depth === 1) this.#startValue(token);
        break;
      default:
        break;
    }
  }

  #checkKey(): void {
    if (this.#key !== 'data' && this.#key !== 'tabla') return;
    if (this.#seen.has(this.#key)) throw invalid(`«${this.#key}» está repetido`, this.#key);
    this.#seen.add(this.#key);
  }

  #startValue(token: Token): void {
    if (this.#key === 'tabla' && token.name !== 'startString') throw invalid('«tabla» no es un texto', 'tabla');
    if (this.#key !== 'data') return;
    if (token.name !== 'startArray') throw invalid('«data» no es una lista', 'data');
    this.#inData = true;
  }

  #readRow(token: Token): void {
    switch (token.name) {
      case 'startObject':
      case 'startArray':
        this.#separate();
        this.#out += token.name === 'startObject' ? '{' : '[';
        this.#comma.push(false);
        this.#depth += 1;
        break;
      case 'endObject':
      case 'endArray':
        this.#out += token.name === 'endObject' ? '}' : ']';
        this.#comma.pop();
        this.#depth -= 1;
        this.#endValue();
        break;
      case 'startKey':
        this.#separate();
        this.#out += '"';
        break;
      case 'endKey':
        this.#out += '":';
        this.#afterKey = true;
        break;
      case 'startString':
        this.#separate();
        this.#out += '"';
        break;
      case 'stringChunk':
        this.#out += JSON.stringify(token.value).slice(1, -1);
        break;
      case 'endString':
        this.#out += '"';
        this.#endValue();
        break;
      case 'startNumber':
        this.#separate();
        break;
      case 'numberChunk':
        this.#out += token.value;
        break;
      case 'endNumber':
        this.#endValue();
        break;
      case 'nullValue':
      case 'trueValue':
      case 'falseValue':
        this.#separate();
        this.#out += String(token.value);
        this.#endValue();
        break;
      default:
        break;
    }
  }

  #separate(): void {
    if (this.#afterKey) {
      this.#afterKey = false;
      return;
    }
    const last = this.#comma.length - 1;
    if (last < 0) return;
    if (this.#comma[last]) this.#out += ',';
    this.#comma[last] = true;
  }

  #endValue(): void {
    if (this.#comma.length === 0) this.#out += '\n';
  }
}

function invalid(what: string, campo?: string, cause?: unknown): SyncError {
  return new SyncError('CUERPO_INVALIDO', `El cuerpo ${what}.`, { ...defined({ campo }), cause });
}
