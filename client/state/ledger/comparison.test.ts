import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { namesIn } from '../../files/disk.ts';
import { makeSpoolKey } from '../spool/spool-key.ts';
import { WholeUploadNeeded } from '../whole-upload-needed.ts';
import { Comparison } from './comparison.ts';
import type { ComparisonResult } from './comparison-result.ts';
import { type LedgerName, Ledgers } from './ledgers.ts';

/** A reading against the ledger of the one before: what is said to have changed, and what is kept of it. */

let folder: string;
let ledgers: Ledgers;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ax-ledger-'));
  ledgers = new Ledgers(folder, makeSpoolKey());
});
afterEach(() => rm(folder, { recursive: true, force: true }));

type Row = readonly [key: string, content: string];

interface Reading extends ComparisonResult {
  sent: Row[];
}

interface ReadingOptions {
  windowPairs?: number;
  breakAfter?: number;
  /** Rows are asked about before they are lines, and before their keys are known. */
  asTheyCome?: boolean;
}

const BLOCK_ROWS = 7;

/** Reads rows against `old`, as an upload does. `breakAfter`: so many blocks, then another process goes on. */
async function read(
  rows: readonly Row[],
  old: LedgerName | undefined,
  { windowPairs, breakAfter, asTheyCome }: ReadingOptions = {},
): Promise<Reading> {
  const open = async () =>
    new Comparison({
      ...{ ledgers, tabla: 't', tellsGone: true, old: old && (await ledgers.find('t', old)) },
      ...(windowPairs === undefined ? {} : { windowPairs }),
    });
  let comparison = await open();
  try {
    const sent: Row[] = [];
    let blocks = 0;
    for (let at = 0; at < rows.length; at += BLOCK_ROWS) {
      for (const row of rows.slice(at, at + BLOCK_ROWS)) {
        const [key, content] = [Buffer.from(row[0]), Buffer.from(row.join('\0'))];
        comparison.rowHash.update(new DataView(content.buffer, content.byteOffset, content.length), 0, content.length);
        if (asTheyCome === true && comparison.isNext()) continue;
        comparison.keyHash.update(key, 0, key.length);
        if (comparison.take()) sent.push(row);
      }
      comparison.cut();
      await comparison.settle();
      if (++blocks !== breakAfter) continue;
      const place = await comparison.checkpoint();
      await comparison.close();
      comparison = await open();
      await comparison.resume(place!);
    }
    return { ...(await comparison.finish(sent.length)), sent };
  } finally {
    await comparison.close();
  }
}

/** Reads, and has the backend accept it. */
async function readAndAdopt(rows: readonly Row[], old?: LedgerName): Promise<LedgerName> {
  const { nuevo } = await read(rows, old);
  expect(await ledgers.adopt('t', nuevo!.id)).toBe(true);
  return nuevo!;
}

const numbered = (count: number, content = 'a') =>
  Array.from({ length: count }, (_, n): Row => [String(n).padStart(6, '0'), content]);

const goneIn = ({ bajas }: ComparisonResult) => Buffer.from(bajas?.huellas ?? '', 'base64').length / 8;

function hashesOf(keys: readonly string[]): string {
  const { key } = ledgers.seedsOf('t');
  const hashes = keys.map((text) => {
    const bytes = Buffer.from(text);
    const comparison = new Comparison({ ledgers, tabla: 't', old: undefined, tellsGone: true });
    comparison.keyHash.update(bytes, 0, bytes.length);
    expect(key).toBe(ledgers.seedsOf('t').key);
    return BigInt.asUintN(64, comparison.keyHash.value);
  });
  const bytes = Buffer.alloc(hashes.length * 8);
  for (const [n, hash] of hashes.sort((a, b) => (a < b ? -1 : 1)).entries()) bytes.writeBigUInt64BE(hash, n * 8);
  return bytes.toString('base64');
}

test('the same rows again: nothing goes, nothing is gone, nothing is written', async () => {
  const old = await readAndAdopt(numbered(20_000));
  const again = await read(numbered(20_000), old);
  expect(again).toEqual({ leidas: 20_000, sent: [] });
  expect(await namesIn(join(folder, 'huellas'))).toHaveLength(1);
});

test('a row is told by its hash alone only where it is expected, and its pair is taken but once', async () => {
  const rows = numbered(50_000);
  const old = await readAndAdopt(rows);
  expect(await read(rows, old, { asTheyCome: true })).toEqual({ leidas: 50_000, sent: [] });
  const after = rows.filter((_, n) => n % 1000 !== 3).map((row, n): Row => (n % 777 === 5 ? [row[0], 'b'] : row));
  after.splice(40_000, 0, ['nueva', 'x']);
  const asLines = await read(after, old);
  const { nuevo, ...found } = await read(after, old, { asTheyCome: true });
  expect(found).toEqual({ leidas: after.length, sent: asLines.sent, bajas: asLines.bajas! });
  expect(await ledgers.adopt('t', nuevo!.id)).toBe(true);
  expect(await read(after, nuevo)).toEqual({ leidas: after.length, sent: [] });
  const twice = after.toSpliced(20_000, 0, after[20_000]!);
  await expect(read(twice, nuevo, { asTheyCome: true })).rejects.toMatchObject({ reason: 'repetidas' });
});

test('rows of another kind have other hashes: none is believed', async () => {
  const seeds = [ledgers.seedsOf('t'), ledgers.seedsOf('t', 'x'), ledgers.seedsOf('t', 'y'), ledgers.seedsOf('u', 'x')];
  expect(new Set(seeds.map(({ row }) => row)).size).toBe(4);
  expect([seeds[1]!.key, seeds[2]!.key]).toEqual([seeds[0]!.key, seeds[0]!.key]);
  const old = await readAndAdopt(numbered(10));
  const comparison = new Comparison({ ledgers, tabla: 't', old: await ledgers.find('t', old), tellsGone: true });
  try {
    expect(comparison.begin('x')).toBe(comparison.rowHash);
    const [first] = numbered(1);
    const content = new DataView(Uint8Array.from(Buffer.from(first!.join('\0'))).buffer);
    comparison.rowHash.update(content, 0, content.byteLength);
    expect(comparison.isNext()).toBe(false);
  } finally {
    await comparison.close();
  }
});

test('rows that changed, came and went: those go, and the next reading has nothing to do', async () => {
  const before = numbered(10_000);
  const old = await readAndAdopt(before);
  const after = before.filter((_, n) => n % 1000 !== 3).map((row, n): Row => (n % 777 === 5 ? [row[0], 'b'] : row));
  after.push(['nueva', 'x']);
  const { sent, bajas, nuevo } = await read(after, old);
  expect(sent).toEqual(after.filter(([key, content]) => content === 'b' || key === 'nueva'));
  expect(bajas).toEqual({
    semilla: String(ledgers.seedsOf('t').key),
    huellas: hashesOf(before.filter((_, n) => n % 1000 === 3).map(([key]) => key)),
    leidas: after.length,
  });
  expect(await ledgers.adopt('t', nuevo!.id)).toBe(true);
  expect(await read(after, nuevo)).toEqual({ leidas: after.length, sent: [] });
});

test('the last row is gone, and no other has changed: the next ledger is without it', async () => {
  const old = await readAndAdopt(numbered(5));
  const { sent, bajas, nuevo } = await read(numbered(4), old);
  expect([sent, bajas?.huellas]).toEqual([[], hashesOf(['000004'])]);
  expect(nuevo?.pares).toBe(4);
});

test('rows go before anything else changes: the next ledger has those that are left', async () => {
  const rows = numbered(5000);
  const old = await readAndAdopt(rows);
  const after: Row[] = [...rows.filter((_, n) => n % 100 !== 0), ['nueva', 'x']];
  const { sent, nuevo, ...rest } = await read(after, old);
  expect([sent, goneIn(rest)]).toEqual([[['nueva', 'x']], 50]);
  expect(await ledgers.adopt('t', nuevo!.id)).toBe(true);
  expect(await read(after, nuevo)).toEqual({ leidas: after.length, sent: [] });
});

test('any order is the same: nothing goes', async () => {
  const rows = numbered(9000);
  const old = await readAndAdopt(rows);
  const shuffled = rows.toSorted(([a], [b]) => (Bun.hash(a) < Bun.hash(b) ? -1 : 1));
  expect(await read(shuffled, old)).toEqual({ leidas: 9000, sent: [] });
  expect(await read(rows.toReversed(), old)).toEqual({ leidas: 9000, sent: [] });
});

test('a table larger than the window: rows that moved far go again, and none of them is taken for gone', async () => {
  const rows = numbered(60_000);
  const old = await readAndAdopt(rows);
  const moved = [...rows.slice(50_000), ...rows.slice(0, 50_000)];
  const { sent, bajas } = await read(moved, old, { windowPairs: 2 ** 14 });
  expect(bajas).toBeUndefined();
  expect(sent.length).toBeGreaterThan(0);
  // In its order it needs no larger window, with rows that came, went and changed.
  const { sent: changed, ...rest } = await read(
    rows.filter((_, n) => n !== 30_000).flatMap((row, n): Row[] => (n === 20_000 ? [['nueva', 'x'], row] : [row])),
    old,
    { windowPairs: 2 ** 14 },
  );
  expect(changed).toEqual([['nueva', 'x']]);
  expect(goneIn(rest)).toBe(1);
});

test('a source that begins to repeat a key is not compared: near, far, and outside the window', async () => {
  const rows = numbered(60_000);
  const old = await readAndAdopt(rows);
  for (const at of [1, 40_000, 59_999]) {
    const repeated = rows.toSpliced(at, 0, ['000000', 'otra']);
    await expect(read(repeated, old, { windowPairs: 2 ** 14 })).rejects.toThrow(WholeUploadNeeded);
  }
});

test('more rows are gone than a commit takes: the table is to be sent whole', async () => {
  const old = await readAndAdopt(numbered(50_002));
  expect(goneIn(await read(numbered(2), old))).toBe(50_000);
  await expect(read(numbered(1), old)).rejects.toMatchObject({ reason: 'muchasBajas' });
});

test.each(['cut', 'a bit', 'another key', 'another ledger', 'gone'])(
  'a ledger that is damaged (%s) is not believed',
  async (how) => {
    const old = await readAndAdopt(numbered(20_000));
    const [name] = await namesIn(join(folder, 'huellas'));
    const path = join(folder, 'huellas', name!);
    if (how === 'cut') await truncate(path, old.bytes - 5000);
    if (how === 'a bit') {
      const bytes = Buffer.from(await Bun.file(path).arrayBuffer());
      bytes[old.bytes - 100]! ^= 1;
      await writeFile(path, bytes);
    }
    if (how === 'another key') ledgers = new Ledgers(folder, makeSpoolKey());
    if (how === 'gone') await rm(path);
    const found = await ledgers.find('t', how === 'another ledger' ? { ...old, id: 'x' } : old);
    if (found === undefined) return;
    await found.close();
    await expect(read(numbered(20_000), old)).rejects.toMatchObject({ reason: 'danado' });
  },
);

test('whatever rows came, went, changed and moved, whatever the window, wherever it is broken off: what goes makes the same table', async () => {
  const keys = fc.uniqueArray(fc.integer({ min: 0, max: 400 }), { maxLength: 300 });
  const rowsOf = (chosen: readonly number[], contents: readonly number[]): Row[] =>
    chosen.map((key, n) => [String(key), String(contents[n % contents.length])]);
  const contents = fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(
      keys,
      keys,
      contents,
      contents,
      fc.record({
        windowPairs: fc.constantFrom(8, 64, 1024),
        breakAfter: fc.integer({ min: 1, max: 30 }),
        asTheyCome: fc.boolean(),
      }),
      async (before, after, old, current, options) => {
        const first = await readAndAdopt(rowsOf(before, old));
        const centre = new Map(rowsOf(before, old));
        const rows = rowsOf(after, current);
        const { sent, bajas, nuevo } = await read(rows, first, options);
        for (const [key, content] of sent) centre.set(key, content);
        const gone = [...centre.keys()].filter((key) => !rows.some(([other]) => other === key));
        expect(bajas?.huellas ?? '').toBe(hashesOf(gone));
        for (const key of gone) centre.delete(key);
        expect([...centre].toSorted()).toEqual([...new Map(rows)].toSorted());
        if (nuevo === undefined) {
          expect([sent, bajas]).toEqual([[], undefined]);
          return;
        }
        expect(await ledgers.adopt('t', nuevo.id)).toBe(true);
        expect(await read(rows, nuevo)).toEqual({ leidas: rows.length, sent: [] });
      },
    ),
    { numRuns: 120, seed: 20261130 },
  );
});
