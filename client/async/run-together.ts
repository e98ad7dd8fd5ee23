/**
 * Runs tasks at the same time. The first failure aborts the signal that all of them are given, and is thrown once every
 * task has ended.
 * @throws the reason of `signal`, or the first failure.
 */
export async function runTogether(
  signal: AbortSignal,
  tasks: readonly ((signal: AbortSignal) => Promise<void>)[],
): Promise<void> {
  const controller = new AbortController();
  const inner = AbortSignal.any([signal, controller.signal]);
  let failure: { error: unknown } | undefined;
  const guard = (task: (signal: AbortSignal) => Promise<void>) =>
    task(inner).catch((error: unknown) => {
      failure ??= { error };
      controller.abort(error);
    });
  await Promise.all(tasks.map(guard));
  signal.throwIfAborted();
  if (failure !== undefined) throw failure.error;
}
