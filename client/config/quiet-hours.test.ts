import { expect, test } from 'vitest';
import { findConfigProblems } from '../../protocol/tenant-config/config-problems.ts';
import { findQuietHours } from './quiet-hours.ts';

const at = (time: string) => new Date(`2024-01-15T${time}:00`);
const quiet = (desde: string, hasta: string, time: string) =>
  findQuietHours({ horasSilencio: [{ desde, hasta }] }, at(time)) !== undefined;

test.each([
  ['09:00', '18:30', '08:59', false],
  ['09:00', '18:30', '09:00', true],
  ['09:00', '18:30', '18:29', true],
  ['09:00', '18:30', '18:30', false],
  ['22:00', '06:00', '21:59', false],
  ['22:00', '06:00', '22:00', true],
  ['22:00', '06:00', '23:59', true],
  ['22:00', '06:00', '00:00', true],
  ['22:00', '06:00', '05:59', true],
  ['22:00', '06:00', '06:00', false],
])('from %s to %s, at %s: %s', (desde, hasta, time, expected) => {
  expect(quiet(desde, hasta, time)).toBe(expected);
});

test('several hours; none', () => {
  const horasSilencio = [
    { desde: '02:00', hasta: '03:00' },
    { desde: '12:00', hasta: '13:00' },
  ];
  expect(findQuietHours({ horasSilencio }, at('12:30'))).toEqual({ desde: '12:00', hasta: '13:00' });
  expect(findQuietHours({ horasSilencio }, at('10:00'))).toBeUndefined();
  expect(findQuietHours({}, at('10:00'))).toBeUndefined();
});

test('a time that is none, and hours without an extent, are refused', () => {
  const problems = (desde: string, hasta: string) => findConfigProblems({ horasSilencio: [{ desde, hasta }] });
  expect(problems('24:00', '06:00')).toEqual([
    {
      campo: 'configuracionTablas.horasSilencio[0].desde',
      ...{ valor: '24:00', regla: 'debe ser una hora, de 00:00 a 23:59' },
    },
  ]);
  expect(problems('06:00', '06:00')[0]?.campo).toBe('configuracionTablas.horasSilencio[0]');
  expect(problems('22:00', '06:00')).toEqual([]);
  expect(findConfigProblems({ limiteKbps: 63 })).toHaveLength(1);
});
