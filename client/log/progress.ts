import { SingleBar } from 'cli-progress';

/** Rows as they pass, on a terminal; nothing elsewhere (the log has the totals). */
export interface Progress {
  start(title: string): void;
  rows(count: number): void;
  stop(): void;
}

export const silentProgress: Progress = { start: () => {}, rows: () => {}, stop: () => {} };

/** A line that counts rows and their speed: how many there are in all is not known before the last one. */
export function createTerminalProgress(): Progress {
  let bar: SingleBar | undefined;
  let total = 0;
  let startedAt = 0;
  const speed = () => Math.round(total / Math.max(0.001, (performance.now() - startedAt) / 1000));
  const shown = () => ({ filas: total.toLocaleString('es'), ritmo: speed().toLocaleString('es') });
  return {
    start(title) {
      total = 0;
      startedAt = performance.now();
      bar = new SingleBar({
        format: `${title.replaceAll('{', '(').replaceAll('}', ')')}: {filas} filas ({ritmo} filas/s)`,
        clearOnComplete: true,
        hideCursor: null,
        fps: 5,
      });
      bar.start(1, 0, shown());
    },
    rows(count) {
      total += count;
      bar?.update(0, shown());
    },
    stop() {
      bar?.stop();
      bar = undefined;
    },
  };
}
