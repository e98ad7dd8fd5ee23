import { randomBytes } from 'node:crypto';

/**
 * The trace of this process, which is one run, as W3C Trace Context has it: each request names it, and each log entry. Spans are made of it by the
 * server, where somebody collects them; here are only names.
 */
export const traceparent = `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-01`;
