import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { openOutput } from './output.ts';
import { createProgress, describeProgress, joinStates, type ProgressState } from './progress.ts';

const state: ProgressState = {
  direccion: 'upload',
  tabla: 'vista_productos',
  filas: 120_000,
  bytes: 34_120_000,
  segundos: 10,
  total: undefined,
  espera: undefined,
};

test('a line says rows, MB and speed, what is left where that is known, and what is waited for', () => {
  expect(describeProgress(state)).toBe('vista_productos: 120.000 filas, 34,1 MB, 12.000 filas/s');
  const exact = { ...state, total: { filas: 240_000, exacto: true } };
  expect(describeProgress(exact)).toMatch(/12\.000 filas\/s, faltan 10 s$/);
  const guessed = { ...state, total: { filas: 3_720_000, exacto: false }, espera: 'filas de SQL Server' };
  expect(describeProgress(guessed)).toMatch(/, faltan unos 5 min; espera: filas de SQL Server$/);
  const more = { ...state, total: { filas: 100_000, exacto: false } };
  expect(describeProgress(more)).not.toContain('faltan');
  expect(describeProgress({ ...state, filas: 0, bytes: 0, segundos: 0 })).toBe(
    'vista_productos: 0 filas, 0,0 MB, 0 filas/s',
  );
});

test('what is waited for is told while no rows pass; a table that is begun afresh counts afresh', async () => {
  const shown: ProgressState[] = [];
  const progress = createProgress({ everyMs: 40, show: (states) => shown.push(...states), clear: () => {} });
  const table = progress.start('upload', 'vista_productos');
  const next = async () => {
    const before = shown.length;
    await vi.waitFor(() => expect(shown.length).toBeGreaterThan(before), { interval: 5 });
    return shown.at(-1)!;
  };
  table.waiting(() => 'filas de SQL Server');
  expect(await next()).toMatchObject({ filas: 0, espera: 'filas de SQL Server' });
  table.rows(10);
  table.bytes(500);
  expect(await next()).toMatchObject({ filas: 10, bytes: 500, espera: undefined });
  expect(await next()).toMatchObject({ filas: 10, espera: 'filas de SQL Server' });
  table.again();
  table.rows(3);
  expect(await next()).toMatchObject({ filas: 3, bytes: 0 });
  table.stop();
  const count = shown.length;
  await sleep(120);
  expect(shown.length).toBe(count);
});

test('of several tables each has its line or object; on a terminal they are one, with what all wait for', async () => {
  const lists: (readonly ProgressState[])[] = [];
  const progress = createProgress({ everyMs: 20, show: (states) => lists.push(states), clear: () => {} });
  const [a, b] = [progress.start('upload', 'a'), progress.start('upload', 'b')];
  a.rows(10);
  b.rows(30);
  a.expect({ filas: 100, exacto: true });
  b.expect({ filas: 200, exacto: false });
  await vi.waitFor(() => expect(lists.length).toBeGreaterThan(0), { interval: 5 });
  const [states] = lists;
  expect(states!.map(({ tabla, filas }) => [tabla, filas])).toEqual([
    ['a', 10],
    ['b', 30],
  ]);
  const joined = joinStates(states!);
  expect(joined).toMatchObject({ tabla: 'a, b', filas: 40, total: { filas: 300, exacto: false } });
  expect(joinStates([states![0]!])).toEqual(states![0]);
  const waiting = { ...states![0]!, espera: 'filas' };
  expect(joinStates([waiting, { ...waiting }]).espera).toBe('filas');
  expect(joinStates([waiting, { ...waiting, espera: 'otra cosa' }]).espera).toBeUndefined();
  expect(joinStates([waiting, { ...waiting, total: undefined }]).total).toBeUndefined();
  a.stop();
  const seen = lists.length;
  await vi.waitFor(() => expect(lists.length).toBeGreaterThan(seen), { interval: 5 });
  expect(lists.at(-1)!.map(({ tabla }) => tabla)).toEqual(['b']);
  b.stop();
});

/** A stream that keeps what is written to it. */
function makeStream(isTTY: boolean) {
  const stream = Object.assign(new PassThrough(), { isTTY, columns: 100 }) as unknown as NodeJS.WriteStream;
  let text = '';
  stream.on('data', (part: Buffer) => {
    text += part.toString();
  });
  return { stream, text: () => text };
}

const entry = { hora: '2024-01-15 10:30:00.000', texto: 'un aviso' };

test('on a terminal the line is written over, a line of the log takes its place, and nothing of it stays', async () => {
  const out = makeStream(true);
  const { progress, echo } = openOutput({ json: false }, { stdout: out.stream, stderr: out.stream });
  const table = progress.start('upload', 'vista_productos');
  table.expect({ filas: 100, exacto: true });
  table.rows(50);
  await sleep(500);
  expect(out.text()).toContain('[██████████░░░░░░░░░░] vista_productos: 50 filas');
  const before = out.text().length;
  echo('AVISO un aviso', 'warn', entry);
  expect(out.text().slice(before)).toBe('\r\x1b[KAVISO un aviso\n');
  table.stop();
  await sleep(100);
  const ended = out.text().length;
  echo('INFO fin', 'info', entry);
  expect(out.text().slice(ended)).toBe('INFO fin\n');
  await sleep(300);
  expect(out.text().length).toBe(ended + 'INFO fin\n'.length);
});

test('elsewhere there are plain lines, the log in them and no control characters', async () => {
  const out = makeStream(false);
  const errors = makeStream(false);
  const { progress, echo } = openOutput({ json: false }, { stdout: out.stream, stderr: errors.stream });
  const table = progress.start('upload', 'vista_productos');
  table.rows(50);
  await sleep(300);
  echo('INFO una', 'info', entry);
  echo('AVISO dos', 'warn', entry);
  table.stop();
  expect(out.text()).toBe('INFO una\n');
  expect(errors.text()).toBe('AVISO dos\n');
});
