import { expect, test } from 'vitest';
import { defined } from '../../../protocol/defined.ts';
import type { TablaSubida } from '../../../protocol/tenant-config/config.ts';
import {
  type AgentClock,
  type ClockReading,
  formatTicks,
  type ServerClock,
  ticksOf,
} from '../../sqlserver/session/clock.ts';
import type { Watermark } from '../../state/watermarks.ts';
import { planReading } from './reading.ts';

/** Where a table is read from, in simulated time: nothing is passed over, whatever clock and transactions do. */

const tabla: TablaSubida = {
  ...{ nombre: 'v', incremental: true, campoFecha: 'f', solapeSegundos: 0 },
  process: { query: 'SELECT * FROM v WHERE f > @ultimaSync' },
};
const SECOND = 10_000_000n;

/** A generator of its own for each seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

interface Row {
  stamp: string;
  read: boolean;
}

/** A SQL Server, its clock and one table; seconds of real time are `time`. */
class Source {
  time = 1_000_000;
  ahead = 0;
  zone = 120;
  readonly rows: Row[] = [];
  readonly open = new Set<{ begin: string; rows: Row[] }>();
  readonly reloj: 'local' | 'utc';
  /** Whether the agent's wall clock is that of this machine. */
  readonly together: boolean;

  constructor(reloj: 'local' | 'utc', together: boolean) {
    this.reloj = reloj;
    this.together = together;
  }

  clock(): ServerClock {
    const utc = ticksOf('2026-01-01T00:00:00') + BigInt(Math.round((this.time + this.ahead) * 1000)) * 10_000n;
    return { utc: formatTicks(utc), local: formatTicks(utc + BigInt(this.zone) * 60n * SECOND) };
  }

  agent(): AgentClock {
    const wall = Date.parse('2026-01-01T00:00:00Z') + (this.time + (this.together ? this.ahead : 0)) * 1000;
    return { hora: new Date(wall).toISOString(), encendido: this.time, equipo: 'agente' };
  }

  row(): Row {
    return { stamp: this.clock()[this.reloj], read: false };
  }
}

function run(source: Source, mark: Watermark | undefined): { mark: Watermark; retroceso: number | null | undefined } {
  const now: ClockReading = { ...source.clock(), agente: source.agent() };
  const begins = [...source.open].map(({ begin }) => begin).sort();
  const plan = planReading({ ...tabla, reloj: source.reloj }, mark, { now, after: source.agent(), oldest: begins[0] });
  for (const row of source.rows) row.read ||= plan.ultimaSync === null || row.stamp > plan.ultimaSync;
  const more = {
    ...(plan.entera ? { entera: now.utc } : {}),
    ...defined({ revuelto: plan.revuelto }),
  };
  return {
    mark: { ...plan.marca, leido: now, ...more, huella: 'h', ultimaEjecucion: 'x', filas: 1 },
    retroceso: plan.retroceso,
  };
}

/** A row is written, a transaction begins, writes or commits. */
function happen(source: Source, random: () => number): void {
  const kind = random();
  if (kind < 0.5) source.rows.push(source.row());
  else if (kind < 0.65) source.open.add({ begin: source.clock().local, rows: [source.row()] });
  else {
    const some = [...source.open][Math.floor(random() * source.open.size)];
    if (some === undefined) return;
    if (kind < 0.8) some.rows.push(source.row());
    else {
      source.rows.push(...some.rows);
      source.open.delete(some);
    }
  }
}

test.each(Array.from({ length: 100 }, (_, seed) => seed))(
  'whatever the clock does and however long transactions take, each row is read in the end (seed %i)',
  (seed) => {
    const random = randomOf(seed);
    const between = (from: number, to: number) => from + random() * (to - from);
    const source = new Source(seed % 2 === 0 ? 'local' : 'utc', seed % 4 < 2);
    let mark: Watermark | undefined;
    for (let round = 0; round < 30; round++) {
      // One step at most between two runs: one that is undone before anybody looks is not seen.
      const stepAt = random() < 0.3 ? Math.floor(between(0, 12)) : -1;
      const step = between(-20_000, 20_000);
      for (let event = 0; event < 12; event++) {
        source.time += between(0.1, 120);
        if (event === stepAt) source.ahead += step;
        if (event === 5 && round === 15) source.zone = 60;
        happen(source, random);
      }
      ({ mark } = run(source, mark));
    }
    for (const { rows } of source.open) source.rows.push(...rows);
    source.open.clear();
    source.time += 1;
    run(source, mark);
    expect(source.rows.length).toBeGreaterThan(100);
    expect(source.rows.filter(({ read }) => !read)).toEqual([]);
  },
);
