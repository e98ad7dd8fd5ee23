import { expect, test } from 'vitest';
import { compareRows, type HeldRow } from './compare.ts';
import { noTotals } from './comparison.ts';

const asRead = (key: string) => Buffer.from(JSON.stringify(key).slice(1)).toString('latin1');

test('a row that only the centre has is told with the key that came with it', () => {
  const held: HeldRow[] = [
    [1n, 3n, asRead('ñandú "1"\\\n,')],
    [2n, 5n, undefined],
    [3n, 7n, asRead('otra')],
  ];
  const seen = [{ keyHigh: 0, keyLow: 3, rowHigh: 0, rowLow: 9, key: undefined }];
  expect([...compareRows(noTotals(), seen, held)]).toEqual([
    { clave: 1n, origen: undefined, destino: 3n, codigo: 'ñandú "1"\\\n,' },
    { clave: 2n, origen: undefined, destino: 5n, codigo: undefined },
    { clave: 3n, origen: 9n, destino: 7n, codigo: 'otra' },
  ]);
});
