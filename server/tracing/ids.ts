import { randomBytes } from 'node:crypto';
import type { SpanContext } from '@opentelemetry/api';

/** What the next span is called: spans of an agent have names of its own, and its run the one that its requests named as their parent. */
let next: Pick<SpanContext, 'traceId' | 'spanId'> | undefined;

/** Makes ids, at random but where withIds says which. */
export const idGenerator = {
  generateTraceId: (): string => next?.traceId ?? randomBytes(16).toString('hex'),
  generateSpanId: (): string => next?.spanId ?? randomBytes(8).toString('hex'),
};

/** Starts a span that has these ids. */
export function withIds<T>(ids: Pick<SpanContext, 'traceId' | 'spanId'>, start: () => T): T {
  next = ids;
  try {
    return start();
  } finally {
    next = undefined;
  }
}
