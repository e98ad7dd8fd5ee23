import type { Config } from './config.ts';
import type { Meters } from './meters.ts';
import type { Database } from './postgres/pool.ts';
import type { MasterKeys } from './tenants/master-keys.ts';

/** What a flow needs beside its request. */
export interface Context {
  config: Config;
  database: Database;
  masterKeys: MasterKeys;
  meters: Meters;
  log: { warn(fields: object, message: string): void };
}
