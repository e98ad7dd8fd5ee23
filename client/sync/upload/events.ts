import type { ChunkInfo } from '../../state/spool/manifest.ts';

/** Whoever watches an upload is told of these. */
export interface UploadEvents {
  /** Rows have been read, as so many bytes of NDJSON. */
  onRead(rows: number, bytes: number): void;
  /** The backend has stored a chunk. */
  onDelivered(chunk: ChunkInfo): void;
  /** The network fails while rows are still read. Told once until a chunk has been delivered. */
  onOffline(error: unknown): void;
  /** The backend has all chunks, and is asked to apply them. */
  onCommit(): void;
}

/** Nobody watches. */
export const silentEvents: UploadEvents = {
  onRead: () => {},
  onDelivered: () => {},
  onOffline: () => {},
  onCommit: () => {},
};
