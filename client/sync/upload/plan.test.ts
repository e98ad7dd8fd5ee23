import { expect, test } from 'vitest';
import type { TablaSubida } from '../../../protocol/tenant-config/config.ts';
import type { UploadHead } from '../../state/spool/manifest.ts';
import type { Watermark } from '../../state/watermarks.ts';
import { type PendingUpload, planUpload } from './plan.ts';

/** Each way an upload may go about it, from what the spool holds and where the mark stands. */

const tabla: TablaSubida = {
  nombre: 'v',
  process: { query: 'SELECT * FROM v' },
  particion: { columna: 'n', filas: 10 },
};
const fingerprints = { actual: '2:now', anterior: 'before' };
const clockAt = (time: string) => ({ local: time, utc: time });
const BEGUN = '2026-01-01T10:00:00';
const NEXT = '2026-01-01T11:00:00';
const head: UploadHead = {
  ...{ tabla: 'v', modo: 'completo', huella: '2:now', ultimaSync: null, particion: 'n' },
  ...{ desde: clockAt(BEGUN), reloj: clockAt(NEXT) },
};
const markAt = (time: string): Watermark => ({ ...clockAt(time), huella: '2:now', ultimaEjecucion: 'x', filas: 1 });
const whole: PendingUpload = { head, complete: true, lastKey: undefined, lastLedger: undefined };
const broken: PendingUpload = { head, complete: false, lastKey: '[20]', lastLedger: undefined };
const plan = (pending: PendingUpload | undefined, mark: Watermark | undefined, of = tabla) =>
  planUpload(of, fingerprints, { pending, mark });
const reasonOf = (...given: Parameters<typeof plan>) => {
  const made = plan(...given);
  return made.kind === 'fresh' ? made.useless?.reason : made.kind;
};

test('nothing in the spool: from the start, and nothing to remove', () => {
  expect(plan(undefined, markAt(BEGUN))).toEqual({ kind: 'fresh' });
});

test('all rows are in the spool: they are delivered, and SQL Server is not read', () => {
  expect(plan(whole, markAt(BEGUN))).toEqual({ kind: 'deliverOnly', pending: whole });
});

test('a reading that broke off goes on behind its last whole range', () => {
  expect(plan(broken, markAt(BEGUN))).toEqual({
    kind: 'continue',
    pending: broken,
    from: { key: '[20]', ledger: undefined },
  });
});

test('a reading without a whole range, or by another column, begins again', () => {
  expect(reasonOf({ ...broken, lastKey: undefined }, markAt(BEGUN))).toBe('la lectura no terminó');
  const other = { ...tabla, particion: { columna: 'otra', filas: 10 } };
  expect(reasonOf(broken, markAt(BEGUN), other)).toBe('la lectura no terminó');
  // What is whole is of no column any more.
  expect(reasonOf(whole, markAt(BEGUN), other)).toBe('deliverOnly');
});

test('a mark that is another one, or none, makes it useless; the one that this very upload set does not', () => {
  expect(reasonOf(whole, markAt('2026-01-01T10:30:00'))).toBe('la marca es otra');
  expect(reasonOf(whole, undefined)).toBe('la marca es otra');
  expect(reasonOf({ ...whole, head: { ...head, desde: null } }, undefined)).toBe('deliverOnly');
  expect(reasonOf(whole, markAt(NEXT))).toBe('deliverOnly');
});

test('what was made with another configuration is useless, with an earlier form of the fingerprint it is not', () => {
  const made = (huella: string) => ({ ...whole, head: { ...head, huella } });
  expect(reasonOf(made('2:other'), markAt(BEGUN))).toBe('la configuración cambió');
  expect(reasonOf(made('before'), markAt(BEGUN))).toBe('deliverOnly');
  const incremental = { ...tabla, incremental: true };
  expect(reasonOf(whole, markAt(BEGUN), incremental)).toBe('la configuración cambió');
});
