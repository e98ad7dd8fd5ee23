import { defined } from './defined.ts';
import { type ErrorCode, errorTable } from './error-table.ts';

/** Where the fault is, as far as it is known. */
export interface ErrorPlace {
  tabla?: string;
  fase?: string;
  /** 1-based line of the NDJSON body, or row of `data`. */
  linea?: number;
  /** Name or JSON path of the field. */
  campo?: string;
  /** n of the chunk. */
  trozo?: number;
  /** Of LECTURA_ANTIGUA: when what has been applied was read. */
  lectura?: string;
}

/** The body of an error answer. */
export interface Problem extends ErrorPlace {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: ErrorCode;
  success: false;
  /** What happened and what to do, for a person. */
  mensaje: string;
  /** Seconds, beside the Retry-After header. */
  reintentarEn?: number;
}

/** An error with a code of the table. `detail` says what happened in this case, one Spanish sentence. */
export class SyncError extends Error {
  readonly code: ErrorCode;
  readonly detail: string;
  readonly place: ErrorPlace;
  /** Seconds for Retry-After. */
  readonly retryAfter: number | undefined;

  constructor(
    code: ErrorCode,
    detail: string,
    { retryAfter, cause, ...place }: ErrorPlace & { retryAfter?: number; cause?: unknown } = {},
  ) {
    super(detail, { cause });
    this.name = 'SyncError';
    this.code = code;
    this.detail = detail;
    this.place = place;
    this.retryAfter = retryAfter;
  }

  get status(): number {
    return errorTable[this.code].status;
  }

  get retryable(): boolean {
    return errorTable[this.code].retryable;
  }

  toProblem(): Problem {
    const { title, action, status } = errorTable[this.code];
    return {
      type: `urn:ax-sync:error:${this.code.toLowerCase()}`,
      title,
      status,
      detail: this.detail,
      code: this.code,
      success: false,
      mensaje: `${this.detail} ${action}`,
      ...this.place,
      ...defined({ reintentarEn: this.retryAfter }),
    };
  }
}
