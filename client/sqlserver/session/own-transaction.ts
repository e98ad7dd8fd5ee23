import type { TransactionChange } from '../transcoder/transcoding-connection.ts';
import type { Session } from './session.ts';

const DEADLOCK = 1205;

/**
 * Whether a transaction that we began is still the one in which a batch runs: SQL of a customer may commit it or roll it back and
 * go on. It is told by SQL Server, token by token; a statement that has come to its end after a rollback ran outside of it. Where
 * nobody tells, it does not count as whole.
 */
export class OwnTransaction {
  /** Whether all that ran since it began is undone when SQL Server rolls it back. */
  isWhole: boolean;
  #rolledBack = false;
  #ended = false;
  readonly #stop: () => void;

  /** Follows the transaction that was just begun on `session`, until `end`. */
  static begin(session: Session): OwnTransaction {
    return new OwnTransaction(session);
  }

  private constructor(session: Session) {
    const { connection } = session;
    this.isWhole = session.watchTransaction((change) => this.#changed(change));
    // What follows the deadlock is its own rollback.
    const onError = ({ number }: { number: number }) => {
      if (number === DEADLOCK) this.end();
    };
    connection.on('errorMessage', onError);
    this.#stop = () => {
      connection.removeListener('errorMessage', onError);
      session.watchTransaction(undefined);
    };
  }

  statementDone(): void {
    if (this.#rolledBack && !this.#ended) this.isWhole = false;
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stop();
  }

  #changed(change: TransactionChange): void {
    if (this.#ended) return;
    if (change === 'rollback' && !this.#rolledBack) this.#rolledBack = true;
    else this.isWhole = false;
  }
}
