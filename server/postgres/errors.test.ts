import pg from 'pg';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import type { SyncError } from '../../protocol/errors.ts';
import { translateDatabaseError } from './errors.ts';

let client: pg.Client;
beforeAll(async () => {
  client = new pg.Client({ connectionString: inject('postgresUrl') });
  await client.connect();
});
afterAll(() => client?.end());

test.each([
  ['40001', 'OCUPADO'],
  ['40P01', 'OCUPADO'],
  ['55P03', 'OCUPADO'],
  ['57P01', 'BASE_NO_DISPONIBLE'],
  ['57P03', 'BASE_NO_DISPONIBLE'],
  ['53300', 'BASE_NO_DISPONIBLE'],
  ['08006', 'BASE_NO_DISPONIBLE'],
])('PostgreSQL %s is a passing %s, with a time to come back', async (state, code) => {
  const raised = await client.query(`DO $$ BEGIN RAISE SQLSTATE '${state}'; END $$`).catch((error: unknown) => error);
  const error = translateDatabaseError(raised) as SyncError;
  expect([error.code, error.retryable, error.status]).toEqual([code, true, 503]);
  expect(error.retryAfter).toBeGreaterThan(0);
});

test('what will not pass by itself stays what it is', async () => {
  const raised = await client.query('SELECT 1 / 0').catch((error: unknown) => error);
  expect(translateDatabaseError(raised)).toBe(raised);
});
