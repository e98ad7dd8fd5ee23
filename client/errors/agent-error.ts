import type { AgentErrorKind } from './exit-codes.ts';
import { agentMessages } from './messages/agent.ts';
import { backendMessages } from './messages/backend.ts';
import { configurationMessages } from './messages/configuration.ts';
import { fill, type Message, type ValuesOf } from './messages/message.ts';
import { sqlServerMessages } from './messages/sqlserver.ts';

/** Every error of the agent, by its code. The API's own are in `protocol/error-table.ts`; no code is in both. */
export const messages = { ...agentMessages, ...configurationMessages, ...backendMessages, ...sqlServerMessages };

export type MessageCode = keyof typeof messages;

/** What a message of that code needs. */
export type MessageValues<Code extends MessageCode> = ValuesOf<(typeof messages)[Code]>;

/**
 * An error that an operator reads: what happened and where (`message`), and what to do (`action`), both Spanish sentences of
 * the catalogue. `kind` decides the exit code. Made by `agentError`, and by the functions that make its subclasses.
 */
export class AgentError extends Error {
  readonly code: MessageCode;
  readonly kind: AgentErrorKind;
  readonly action: string;
  /** Whether the same thing may succeed when it is done again, unchanged. */
  readonly retryable: boolean;
  /** Seconds to wait before that at least, where whoever failed said so (Retry-After). */
  readonly retryAfter: number | undefined = undefined;

  /** `retryable`: in the place of what the catalogue says. */
  constructor(
    code: MessageCode,
    values: Readonly<Record<string, string | number>>,
    cause?: unknown,
    retryable: boolean = (messages[code] as Message).retryable ?? false,
  ) {
    const { kind, message, action }: Message = messages[code];
    super(fill(message, values), cause === undefined ? {} : { cause });
    this.name = 'AgentError';
    this.code = code;
    this.kind = kind;
    this.action = fill(action, values);
    this.retryable = retryable;
  }
}

/** Returns an error of the catalogue with its values; `cause` is what the system said. */
export function agentError<Code extends MessageCode>(
  code: Code,
  values: MessageValues<Code>,
  cause?: unknown,
): AgentError {
  return new AgentError(code, values, cause);
}
