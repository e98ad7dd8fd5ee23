import Type from 'typebox';
import { expect, test } from 'vitest';
import { downloadFields } from './download-table.ts';
import { type Fields, field, laterRows, laterSql, secretColumnsOf, sqlByPlaceOf } from './field.ts';
import { ConfiguracionTablasSchema } from './settings.ts';
import { patternRules } from './values.ts';

const Text = Type.Optional(Type.String());
const tabla = { nombre: 't' };

test('a field that does not say what it touches does not compile', () => {
  // @ts-expect-error: nothing is said
  const silent = field(Text, { description: 'x', english: 'x' });
  // @ts-expect-error: nothing is touched
  const none = field(Text, { description: 'x', english: 'x', touches: {} });
  // @ts-expect-error: not an effect
  const other = field(Text, { description: 'x', english: 'x', touches: { sqll: true } });
  expect([silent, none, other]).toHaveLength(3);
});

const later = {
  old: field(Text, { description: '', english: '', touches: { rows: true, sql: true } }),
  pace: field(Text, { description: '', english: '', touches: { pace: true } }),
  b: field(Text, { description: '', english: '', touches: { rows: true, sql: true } }),
  a: field(Text, { description: '', english: '', touches: { rows: (value) => value?.toUpperCase(), sql: true } }),
} satisfies Fields;

test('a later field counts for the fingerprint where it is given, by name, and a known one does not count twice', () => {
  expect(laterRows(later, { old: 'x', pace: 'x' }, ['old'], tabla)).toEqual([]);
  expect(laterRows(later, { old: 'x', b: '1', a: 'y' }, ['old'], tabla)).toEqual([
    ['a', 'Y'],
    ['b', '1'],
  ]);
  expect(laterSql(later, { old: 'x', pace: 'x', b: '1' }, ['old'])).toEqual(['b 1']);
});

test('fields of one place are lines of one text, in the order of their declarations; secret columns are in lower case, once', () => {
  const fields = {
    one: field(Text, { description: '', english: '', touches: { sql: (value) => `uno ${value}` }, place: 'destino' }),
    two: field(Text, { description: '', english: '', touches: { sql: true } }),
    three: field(Text, { description: '', english: '', touches: { sql: true }, place: 'destino' }),
  };
  expect(sqlByPlaceOf(fields, { three: 'c', two: 'b', one: 'a' })).toEqual({ destino: 'uno a\nc', two: 'b' });
  expect(secretColumnsOf(downloadFields, { camposSensibles: ['Cuit', 'CUIT', 'alta'] })).toEqual(['alta', 'cuit']);
});

test('every pattern of a schema has a rule in Spanish', () => {
  const patterns = [...JSON.stringify(ConfiguracionTablasSchema).matchAll(/"pattern":("(?:[^"\\]|\\.)*")/g)];
  const found = new Set(patterns.map(([, pattern]) => JSON.parse(pattern!) as string));
  expect([...found].sort()).toEqual(Object.keys(patternRules).sort());
});
