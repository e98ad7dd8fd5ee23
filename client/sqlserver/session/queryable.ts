import type { SqlParameter } from './request.ts';

export interface ExecuteOptions {
  parameters?: readonly SqlParameter[];
  signal?: AbortSignal;
}

export interface QueryOptions extends ExecuteOptions {
  /** It may work in silence as long as a batch (executeTimeoutMs): it goes through all rows of a table. */
  isLong?: boolean;
}

/** Who answers small questions: a SqlServer, as those see it that it does not know of. */
export interface Queryable {
  query(sql: string, options?: QueryOptions): Promise<Record<string, unknown>[]>;
}
