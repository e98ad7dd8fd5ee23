import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { UploadResult } from '../protocol/api.ts';
import { SyncError } from '../protocol/errors.ts';
import type { Direccion } from '../protocol/tenant-config/config.ts';

/**
 * What the flows count for GET /metrics. No label names a tenant or a table: ten thousand tenants would be a hundred thousand series.
 * Who they are is asked of PostgreSQL (tenants/overview.ts).
 */
export interface Meters {
  registry: Registry;
  /** A transfer that ended; `error` undefined: well. */
  countTransfer(direccion: Direccion, error?: unknown): void;
  /** An upload that was applied, and how long that took with its phases. Never the repetition of an answer. */
  countUpload(result: UploadResult, seconds: number): void;
  /** Rows of a download that went out to their end. */
  countDownload(filas: number): void;
  /** A run of the janitor. */
  countCleaning(succeeded: boolean): void;
  /** When the janitor last succeeded in this process; undefined: not yet. */
  lastCleaning(): Date | undefined;
}

/** Returns meters on a registry of their own. */
export function makeMeters(): Meters {
  const registry = new Registry();
  const registers = [registry];
  const transfers = new Counter({
    name: 'ax_sync_transfers_total',
    help: 'Transferencias terminadas; result: ok, o el código del error',
    labelNames: ['direction', 'result'],
    registers,
  });
  const rows = new Counter({
    name: 'ax_sync_rows_total',
    help: 'Filas de subidas aplicadas y de bajadas enviadas enteras',
    labelNames: ['direction', 'result'],
    registers,
  });
  const applying = new Histogram({
    name: 'ax_sync_commit_seconds',
    help: 'Lo que se tarda en aplicar una subida, con sus fases',
    buckets: [0.01, 0.05, 0.2, 1, 5, 20, 60, 300],
    registers,
  });
  const cleanings = new Counter({
    name: 'ax_sync_janitor_runs_total',
    help: 'Limpiezas periódicas de este proceso',
    labelNames: ['result'],
    registers,
  });
  const cleaned = new Gauge({
    name: 'ax_sync_janitor_last_success_timestamp_seconds',
    help: 'Cuándo acabó bien la última limpieza de este proceso; antes de la primera, cuándo arrancó',
    registers,
  });
  cleaned.setToCurrentTime();
  // What has not happened yet is 0, so that its first time is seen as an increase.
  for (const direction of ['upload', 'download']) transfers.inc({ direction, result: 'ok' }, 0);
  for (const result of ['inserted', 'updated', 'unchanged', 'removed']) rows.inc({ direction: 'upload', result }, 0);
  rows.inc({ direction: 'download', result: 'sent' }, 0);
  for (const result of ['ok', 'error']) cleanings.inc({ result }, 0);
  let last: Date | undefined;
  return {
    registry,
    countTransfer(direction, error) {
      const result = error === undefined ? 'ok' : error instanceof SyncError ? error.code : 'INTERNO';
      transfers.inc({ direction, result });
    },
    countUpload(result, seconds) {
      const removed = result.registrosDesactivados + (result.registrosBorrados ?? 0);
      rows.inc({ direction: 'upload', result: 'inserted' }, result.registrosInsertados);
      rows.inc({ direction: 'upload', result: 'updated' }, result.registrosActualizados);
      rows.inc({ direction: 'upload', result: 'unchanged' }, result.registrosSinCambios);
      rows.inc({ direction: 'upload', result: 'removed' }, removed);
      applying.observe(seconds);
    },
    countDownload(filas) {
      rows.inc({ direction: 'download', result: 'sent' }, filas);
    },
    countCleaning(succeeded) {
      cleanings.inc({ result: succeeded ? 'ok' : 'error' });
      if (!succeeded) return;
      last = new Date();
      cleaned.set(last.getTime() / 1000);
    },
    lastCleaning: () => last,
  };
}
