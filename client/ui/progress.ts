import type { Direccion } from '../../protocol/tenant-config/config.ts';
import { count, decimal, megabytes } from './words.ts';

/** How far a table under way has come. */
export interface ProgressState {
  direccion: Direccion;
  tabla: string;
  filas: number;
  /** Of NDJSON; of compressed chunks where an upload of an earlier run is finished. */
  bytes: number;
  segundos: number;
  /** Rows in all, where that is known; `exacto: false`: as many as last time. */
  total: { filas: number; exacto: boolean } | undefined;
  /** What nothing moves without just now. */
  espera: string | undefined;
}

/** Begins to tell about a table; several may be under way. */
export interface Progress {
  start(direccion: Direccion, tabla: string): TableProgress;
}

/** What the flow of a table tells about it. */
export interface TableProgress {
  /** Undefined: nobody knows. */
  expect(total: ProgressState['total']): void;
  rows(count: number): void;
  bytes(count: number): void;
  /** What is waited for from here on; it is asked, and shown, while no rows pass. */
  waiting(what: () => string | undefined): void;
  /** The table is begun afresh: so is the count. */
  again(): void;
  stop(): void;
}

/** A run whose progress nobody watches. */
export const silentProgress: Progress = {
  start: () => ({
    expect: () => {},
    rows: () => {},
    bytes: () => {},
    waiting: () => {},
    again: () => {},
    stop: () => {},
  }),
};

/** Shows the states of the tables under way every `everyMs`, those begun first in front; `clear` when one is through. */
export interface ProgressView {
  everyMs: number;
  show(states: readonly ProgressState[]): void;
  clear(): void;
}

/** Creates the progress of a run: one line on a terminal, now and then a line elsewhere. */
export function createProgress(view: ProgressView): Progress {
  const underWay = new Set<() => ProgressState>();
  let timer: ReturnType<typeof setInterval> | undefined;
  return {
    start(direccion, tabla) {
      const state = { direccion, tabla, filas: 0, bytes: 0, total: undefined as ProgressState['total'] };
      let startedAt = performance.now();
      let ask: (() => string | undefined) | undefined;
      let shownRows = 0;
      const take = () => {
        const espera = state.filas === shownRows ? ask?.() : undefined;
        shownRows = state.filas;
        return { ...state, segundos: (performance.now() - startedAt) / 1000, espera };
      };
      underWay.add(take);
      timer ??= setInterval(() => view.show([...underWay].map((takeState) => takeState())), view.everyMs);
      return {
        expect(total) {
          state.total = total;
        },
        rows(count) {
          state.filas += count;
        },
        bytes(count) {
          state.bytes += count;
        },
        waiting(what) {
          ask = what;
        },
        again() {
          Object.assign(state, { filas: 0, bytes: 0 });
          startedAt = performance.now();
          shownRows = 0;
        },
        stop() {
          underWay.delete(take);
          if (underWay.size === 0) {
            clearInterval(timer);
            timer = undefined;
          }
          view.clear();
        },
      };
    },
  };
}

/**
 * Joins several tables into one: their rows and bytes together, and what all of them wait for. `states` holds one at
 * least.
 */
export function joinStates(states: readonly ProgressState[]): ProgressState {
  const [first] = states as [ProgressState, ...ProgressState[]];
  const sum = (of: (state: ProgressState) => number) => states.reduce((total, state) => total + of(state), 0);
  return {
    ...first,
    tabla: states.map(({ tabla }) => tabla).join(', '),
    filas: sum(({ filas }) => filas),
    bytes: sum(({ bytes }) => bytes),
    segundos: Math.max(...states.map(({ segundos }) => segundos)),
    total: states.every(({ total }) => total !== undefined)
      ? { filas: sum(({ total }) => total!.filas), exacto: states.every(({ total }) => total!.exacto) }
      : undefined,
    espera: states.every(({ espera }) => espera === first.espera) ? first.espera : undefined,
  };
}

/**
 * Describes progress: `vista_x: 120.000 filas, 34,1 MB, 12.000 filas/s, faltan unos 10 s; espera a SQL Server`. The
 * rest of the time is told once a second has shown a speed.
 */
export function describeProgress({ tabla, filas, bytes, segundos, total, espera }: ProgressState): string {
  const speed = filas / Math.max(segundos, 0.001);
  const parts = [`${count(filas)} filas`, megabytes(bytes), `${count(Math.round(speed))} filas/s`];
  const left = (total?.filas ?? 0) - filas;
  if (total !== undefined && left > 0 && filas > 0 && segundos >= 1) {
    parts.push(`faltan ${total.exacto ? '' : 'unos '}${describeSeconds(left / speed)}`);
  }
  return `${tabla}: ${parts.join(', ')}${espera === undefined ? '' : `; espera: ${espera}`}`;
}

function describeSeconds(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.ceil(seconds / 60)} min` : `${decimal(seconds / 3600)} h`;
}
