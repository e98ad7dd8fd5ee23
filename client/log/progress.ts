import type { Direccion } from '../../protocol/config.ts';
import { count, decimal, megabytes } from './words.ts';

/** How far the table under way has come. */
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

/** What the flows of a run tell about it. */
export interface Progress {
  start(direccion: Direccion, tabla: string): void;
  expect(total: { filas: number; exacto: boolean }): void;
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
  start: () => {},
  expect: () => {},
  rows: () => {},
  bytes: () => {},
  waiting: () => {},
  again: () => {},
  stop: () => {},
};

/** Shows the state every `everyMs` while a table is under way; `clear` when it is through. */
export interface ProgressView {
  everyMs: number;
  show(state: ProgressState): void;
  clear(): void;
}

export function createProgress(view: ProgressView): Progress {
  let state: Omit<ProgressState, 'segundos' | 'espera'> | undefined;
  let startedAt = 0;
  let ask: (() => string | undefined) | undefined;
  let shownRows = 0;
  let timer: ReturnType<typeof setInterval> | undefined;
  const show = () => {
    if (state === undefined) return;
    const espera = state.filas === shownRows ? ask?.() : undefined;
    shownRows = state.filas;
    view.show({ ...state, segundos: (performance.now() - startedAt) / 1000, espera });
  };
  return {
    start(direccion, tabla) {
      state = { direccion, tabla, filas: 0, bytes: 0, total: undefined };
      startedAt = performance.now();
      ask = undefined;
      shownRows = 0;
      timer = setInterval(show, view.everyMs);
    },
    expect(total) {
      if (state !== undefined) state.total = total;
    },
    rows(count) {
      if (state !== undefined) state.filas += count;
    },
    bytes(count) {
      if (state !== undefined) state.bytes += count;
    },
    waiting(what) {
      ask = what;
    },
    again() {
      if (state !== undefined) Object.assign(state, { filas: 0, bytes: 0 });
      startedAt = performance.now();
      shownRows = 0;
    },
    stop() {
      clearInterval(timer);
      state = undefined;
      view.clear();
    },
  };
}

/**
 * `vista_x: 120.000 filas, 34,1 MB, 12.000 filas/s, faltan unos 10 s; espera a SQL Server`. The rest of the time is told
 * once a second has shown a speed.
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
