/** What a stage reads: the bytes of a body, in pieces of any size. */
export type Bytes = AsyncIterable<Buffer>;

/** A stage passes bytes on, changed or checked. Stages are joined by `throughStages`, and fail with SyncError. */
export type Stage = (source: Bytes) => AsyncGenerator<Buffer>;

/** Returns `source` after all `stages`, in their order. */
export function throughStages(source: AsyncGenerator<Buffer>, stages: readonly Stage[]): AsyncGenerator<Buffer> {
  return stages.reduce((bytes, stage) => stage(bytes), source);
}
