import { expect, test } from 'vitest';
import { limits } from '../../../protocol/constants.ts';
import { BackendError } from '../../http/backend-error.ts';
import { readFrame } from './frame.ts';

const START = '{"$inicio":{"tabla":"cuentas","schema":{"columns":[]},"timestamp":"2024-01-15T10:30:00Z"}}\n';

async function* inPieces(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function readAll(text: string, size: number): Promise<string> {
  const { rows } = await readFrame(inPieces(text, size));
  const parts: Buffer[] = [];
  for await (const piece of rows) parts.push(Buffer.from(piece));
  return Buffer.concat(parts).toString();
}

const ROWS = '{"codigo":"1.1","nombre":"Caja ñ"}\n{"$fin":{"filas":0}}\n{"codigo":"1.2","nombre":"€"}\n';
const WHOLE = `${START}${ROWS}{"$fin":{"filas":3}}\n`;

test('the rows come through whatever the pieces, even one that looks like the end', async () => {
  for (const size of [1, 2, 7, 33, 64, 1000]) expect(await readAll(WHOLE, size)).toBe(ROWS);
});

test('a download without rows is complete', async () => {
  expect(await readAll(`${START}{"$fin":{"filas":0}}\n`, 9)).toBe('');
});

test('cut after any byte, it is not complete', async () => {
  const bytes = Buffer.from(WHOLE);
  for (let end = 0; end < bytes.length; end++) {
    const error = await readAll(bytes.subarray(0, end).toString('latin1'), 50).then(
      () => undefined,
      (cause: unknown) => cause,
    );
    expect(error, `cut at ${end}`).toBeInstanceOf(BackendError);
    expect(error).toMatchObject({ code: 'DESCARGA_INCOMPLETA', retryable: true });
  }
});

test('a count that does not agree is not complete', async () => {
  await expect(readAll(`${START}{"a":1}\n{"$fin":{"filas":2}}\n`, 20)).rejects.toThrow('llegaron 1 de 2 filas');
});

test('a line without an end is not kept in memory', async () => {
  const endless = `${START}"${'x'.repeat(limits.lineMaxBytes)}`;
  await expect(readAll(endless, 1 << 24)).rejects.toMatchObject({ code: 'DESCARGA_FILA_GRANDE', retryable: false });
});

test('something that is no framed download is refused', async () => {
  await expect(readAll('<html>\n</html>\n', 20)).rejects.toThrow('no empieza con «$inicio»');
});

test('who leaves before the first row leaves the download too', async () => {
  let left = false;
  const body = async function* () {
    try {
      yield Buffer.from(`${START}{"a":1}\n`);
      yield Buffer.from('{"$fin":{"filas":1}}\n');
    } finally {
      left = true;
    }
  };
  const { rows } = await readFrame(body());
  await rows.return(undefined);
  expect(left).toBe(true);
});
