import { Connection, type Request } from 'tedious';
import { RequestTokenHandler, type TokenHandler } from 'tedious/lib/token/handler.js';
import { NotEnoughDataError } from 'tedious/lib/token/helpers.js';
import { Token } from 'tedious/lib/token/token.js';
import { Parser as MessageParser } from 'tedious/lib/token/token-stream-parser.js';
import tedious from 'tedious/package.json' with { type: 'json' };
import type { RowTranscoder } from './row-transcoder.ts';
import { StreamParser } from './stream-parser.ts';

/** Where the rows of a request go instead of to its 'row' events. */
export interface RowSink {
  /**
   * Made for the array of columns that 'columnMetadata' gave, and used for that result alone; while it is undefined rows
   * become events, as ever.
   */
  readonly transcoder: RowTranscoder | undefined;
  /** The transcoder is full, has met a row that is too long, or its filter has thrown; the request is to be paused until the block is taken. */
  onBlock(): void;
}

type Message = Parameters<Connection['createTokenStreamParser']>[0];

const sinks = new WeakMap<object, RowSink>();

/** Sends the rows of `request`, made on a TranscodingConnection, to `sink` from now on. */
export function sendRowsTo(request: Request, sink: RowSink): void {
  sinks.set(request, sink);
}

/** The version whose insides this file knows. */
const KNOWN_VERSION = '20.3.9';

/**
 * Returns whether the tedious at hand is the one whose insides are known: its version, and the methods that are
 * overridden.
 */
export function canTranscode(): boolean {
  return (
    tedious.version === KNOWN_VERSION &&
    typeof Connection.prototype.createTokenStreamParser === 'function' &&
    typeof MessageParser.prototype.run === 'function' &&
    typeof StreamParser.prototype.readToken === 'function' &&
    typeof RequestTokenHandler === 'function' &&
    typeof NotEnoughDataError === 'function'
  );
}

/** What became of the session's transaction, as SQL Server tells it ([MS-TDS] 2.2.7.9, ENVCHANGE 8 to 10). */
export type TransactionChange = 'begin' | 'commit' | 'rollback';

/** A connection of tedious that gives the rows of some requests to a transcoder, and is like any other beside. */
export class TranscodingConnection extends Connection {
  /** Told of each change in the order of the answer's tokens; tedious has an event for rollbacks alone. */
  onTransaction: ((change: TransactionChange) => void) | undefined;

  override createTokenStreamParser(message: Message, handler: TokenHandler): MessageParser {
    const tell = this.onTransaction;
    if (tell !== undefined && handler instanceof RequestTokenHandler) {
      for (const [method, change] of transactionTokens) {
        const own = handler[method].bind(handler) as (token: never) => void;
        handler[method] = (token: never) => {
          own(token);
          tell(change);
        };
      }
    }
    if (findSink(handler) === undefined) return super.createTokenStreamParser(message, handler);
    return new TranscodingMessageParser(message, this.debug, handler, this.config.options);
  }
}

const transactionTokens = [
  ['onBeginTransaction', 'begin'],
  ['onCommitTransaction', 'commit'],
  ['onRollbackTransaction', 'rollback'],
] as const;

function findSink(handler: TokenHandler): RowSink | undefined {
  return handler instanceof RequestTokenHandler ? sinks.get(handler.request) : undefined;
}

/** Ends a run of rows, so that the loop below looks whether it is to pause; it reaches no handler. */
class EndOfBlock extends Token {}
const endOfBlock = new EndOfBlock('ROW', 'onRow');

/**
 * The loop of tedious' own parser of messages around a parser of tokens that transcodes rows.
 *
 * The answer to a request that was cancelled is dropped, and may end anywhere ([MS-TDS] 3.2.5.7): from where it no longer
 * makes sense it is read by packets alone. tedious would take that for a broken connection.
 */
class TranscodingMessageParser extends MessageParser {
  // The base class calls it while it is under construction: nothing of this class is there yet.
  override async run(message: Message, handler: TokenHandler): Promise<void> {
    const { request } = handler as RequestTokenHandler;
    const sink = sinks.get(request)!;
    const parser = new TranscodingStreamParser(this.options, sink);
    const chunks = message[Symbol.asyncIterator]();
    let makesSense = true;
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) {
      if (!makesSense) continue;
      parser.write(next.value as Buffer);
      try {
        await this.dispatch(parser, handler, sink);
      } catch (error) {
        if (!request.canceled) throw error;
        makesSense = false;
      }
    }
    if (!request.canceled) parser.end();
  }

  /** Hands on the tokens that are there, at the pace of pause and resume. */
  async dispatch(parser: TranscodingStreamParser, handler: TokenHandler, sink: RowSink): Promise<void> {
    while (true) {
      while (this.paused) {
        await new Promise<void>((resolve) => {
          this.onResume = resolve;
        });
      }
      const token = parser.read();
      if (token === undefined) return;
      if (token === endOfBlock) {
        sink.onBlock();
        continue;
      }
      this.debug.token(token);
      handler[token.handlerName as keyof TokenHandler](token as never);
    }
  }
}

class TranscodingStreamParser extends StreamParser {
  readonly #sink: RowSink;
  readonly #notEnough = new NotEnoughDataError(0);
  #reported = false;

  constructor(options: MessageParser['options'], sink: RowSink) {
    super(options);
    this.#sink = sink;
  }

  override readToken(): Token | undefined {
    const { transcoder } = this.#sink;
    // After a cancel a further result may come that nobody has been told of: its rows are not for this transcoder.
    if (transcoder === undefined || transcoder.columns !== this.colMetadata) return super.readToken();
    this.position = transcoder.transcode(this.buffer, this.position);
    if (transcoder.full) return endOfBlock;
    const isOver = transcoder.tooLong !== undefined || transcoder.failure !== undefined;
    if (isOver && !this.#reported) {
      this.#reported = true;
      return endOfBlock;
    }
    if (transcoder.needsMore || this.position === this.buffer.length) {
      // `read` asks for a byte more than there is, and calls again.
      throw this.#notEnough;
    }
    return super.readToken();
  }

  override end(): void {
    if (this.#sink.transcoder?.needsMore) throw new Error('TDS: the answer ends within a row');
    super.end();
  }
}
