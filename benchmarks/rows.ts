import type { Column, SqlValue } from '../fixtures/sqlserver/engine.ts';

/** The rows of the benchmarks: 10 mixed columns, about 210 bytes of NDJSON each, all different, the same every time. */
export const columns: Column[] = [
  { name: 'codigo', type: { name: 'varchar', length: 20 }, nullable: false },
  { name: 'nombre', type: { name: 'nvarchar', length: 200 }, nullable: false },
  { name: 'cuit', type: { name: 'varchar', length: 13 }, nullable: true },
  { name: 'email', type: { name: 'varchar', length: 100 }, nullable: true },
  { name: 'precio', type: { name: 'decimal', precision: 18, scale: 4 }, nullable: false },
  { name: 'saldo', type: { name: 'money' }, nullable: false },
  { name: 'cantidad', type: { name: 'int' }, nullable: false },
  { name: 'activo', type: { name: 'bit' }, nullable: false },
  { name: 'fecha', type: { name: 'datetime2', scale: 7 }, nullable: false },
  { name: 'guid', type: { name: 'uniqueidentifier' }, nullable: false },
];

/** 2024-01-01T00:00 in 100 ns units since 0001-01-01. */
const TICKS_2024 = 638_396_640_000_000_000n;
const NAMES = [
  'Ferretería San Martín',
  'Panadería La Ñata',
  'Librería O’Higgins',
  'Imprenta Müller e Hijos',
  'Distribuidora del Sur',
];

export const codigoOf = (n: number) => `C${String(n).padStart(9, '0')}`;

/** Row `n` as values of the stand-in. */
export function rowOf(n: number): SqlValue[] {
  return [
    codigoOf(n),
    `${NAMES[n % NAMES.length]} ${n}`,
    n % 9 === 0 ? null : `30-${String((n * 7919) % 100_000_000).padStart(8, '0')}-${n % 10}`,
    n % 5 === 0 ? null : `compras${n}@example.com`,
    BigInt(n) * 137_003n + 12_345_678_901_234n,
    BigInt(n) * 3n - 5_000_000n,
    (n * 31) % 1_000_000,
    n % 17 !== 0,
    TICKS_2024 + BigInt(n) * 10_000_123n,
    `${hex(n, 8)}-0000-4000-8000-${hex(n * 7, 12)}`,
  ];
}

/** What has happened to the rows since: of each so many one has another price, of each so many one is gone; 0: of none. */
export interface Change {
  changedEach: number;
  goneEach: number;
}

export function* rows(count: number, { changedEach, goneEach }: Change = { changedEach: 0, goneEach: 0 }) {
  for (let n = 0; n < count; n++) {
    if (goneEach > 0 && n % goneEach === 1) continue;
    const row = rowOf(n);
    if (changedEach > 0 && n % changedEach === 0) row[4] = (row[4] as bigint) + 1n;
    yield row;
  }
}

/** Row `n` as a line of NDJSON: what the agent has to send for it. */
export function lineOf(n: number): string {
  const [codigo, nombre, cuit, email, precio, saldo, cantidad, activo, fecha, guid] = rowOf(n);
  return (
    `{"codigo":"${codigo}","nombre":"${nombre}","cuit":${text(cuit!)},"email":${text(email!)},` +
    `"precio":${scaled(precio as bigint)},"saldo":${scaled(saldo as bigint)},"cantidad":${cantidad},"activo":${activo},` +
    `"fecha":"${instant(fecha as bigint)}","guid":"${guid}"}\n`
  );
}

const hex = (n: number, digits: number) => n.toString(16).toUpperCase().padStart(digits, '0').slice(-digits);
const text = (value: SqlValue) => (value === null ? 'null' : `"${value}"`);

/** Four decimals. */
function scaled(unscaled: bigint): string {
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(5, '0');
  return `${unscaled < 0n ? '-' : ''}${digits.slice(0, -4)}.${digits.slice(-4)}`;
}

function instant(ticks: bigint): string {
  const sinceEpoch = ticks - 621_355_968_000_000_000n;
  const seconds = new Date(Number(sinceEpoch / 10_000n)).toISOString().slice(0, 19);
  return `${seconds}.${String(sinceEpoch % 10_000_000n).padStart(7, '0')}`;
}
