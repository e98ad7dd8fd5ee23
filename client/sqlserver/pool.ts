import { openSession, type Session, type SqlServerSettings } from './session/session.ts';
import { SqlServer } from './sql-server.ts';

/** Idle sessions of all connections together. */
const MAX_IDLE = 16;

/**
 * The sessions of one run, by the name of their connection: a table takes over the one that another has done with.
 *
 * A session is given back by a table that went well, and reset at once, so that nothing of that table (`#temp` tables, SET
 * options, locks) meets the next one or outlasts it. After an error, or with a transaction left open, it is closed.
 */
export class SqlServerPool {
  /** Oldest first. */
  readonly #idle: { name: string; session: Session }[] = [];

  /**
   * Lends a session with the SQL Server of `settings`, which is always that of `name`, to `work`. `onMessage` gets what SQL
   * Server says while `work` has it. Throws `signal.reason`, SqlServerError, or what `work` threw.
   */
  async use<T>(
    { name, settings }: { name: string; settings: SqlServerSettings },
    { signal, onMessage }: { signal: AbortSignal; onMessage: (text: string) => void },
    work: (db: SqlServer) => Promise<T>,
  ): Promise<T> {
    const session = (await this.#takeIdle(name, signal)) ?? (await openSession(settings, { signal }));
    session.onMessage = onMessage;
    let value: T;
    try {
      value = await work(new SqlServer(session));
    } catch (error) {
      await session.close();
      throw error;
    }
    session.onMessage = undefined;
    await this.#keep(name, session, signal);
    return value;
  }

  /** Ends all that are idle; call it when no table is under way. Never fails. */
  async close(): Promise<void> {
    await Promise.all(this.#idle.splice(0).map(({ session }) => session.close()));
  }

  /** One that still answers: a firewall, or SQL Server itself, may have ended it meanwhile. Throws the signal's reason. */
  async #takeIdle(name: string, signal: AbortSignal): Promise<Session | undefined> {
    while (true) {
      const index = this.#idle.findLastIndex((idle) => idle.name === name);
      if (index < 0) return undefined;
      const { session } = this.#idle.splice(index, 1)[0]!;
      if (await session.isAlive(signal)) return session;
      await session.close();
      signal.throwIfAborted();
    }
  }

  async #keep(name: string, session: Session, signal: AbortSignal): Promise<void> {
    if (!(await session.reset(signal))) {
      await session.close();
      return;
    }
    this.#idle.push({ name, session });
    if (this.#idle.length > MAX_IDLE) await this.#idle.shift()!.session.close();
  }
}
