import { expect, test } from 'vitest';
import { errorTable } from './error-table.ts';
import { SyncError } from './errors.ts';
import { readProblem } from './problem.ts';

test('an error crosses the wire: code, place, cause for a person, and when to come back', () => {
  const sent = new SyncError('LINEA_INVALIDA', 'La línea 7 no es JSON.', { tabla: 'ventas', linea: 7, retryAfter: 5 });
  const body = JSON.parse(JSON.stringify(sent.toProblem()));
  expect(body).toMatchObject({
    status: 422,
    code: 'LINEA_INVALIDA',
    success: false,
    tabla: 'ventas',
    linea: 7,
    reintentarEn: 5,
    detail: 'La línea 7 no es JSON.',
  });
  expect(body.mensaje).toMatch(/^La línea 7 no es JSON\. Corrija la línea/);
  const received = readProblem(body);
  expect(received).toMatchObject({ code: sent.code, detail: sent.detail, place: sent.place, retryAfter: 5 });
});

test.each([null, 'texto', {}, { code: 'OTRO' }, { code: 'toString' }, '<html>'])(
  '%j is not an answer of ours',
  (body) => {
    expect(readProblem(body)).toBeUndefined();
  },
);

test('every entry says what happened and what to do, and its status fits its kind', () => {
  for (const [code, entry] of Object.entries(errorTable)) {
    expect(entry.title, code).not.toBe('');
    expect(entry.action, code).toMatch(/\.$/);
    expect(entry.status, code).toBeGreaterThanOrEqual(400);
  }
});
