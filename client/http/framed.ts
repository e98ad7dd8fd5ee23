import { checkFramed } from './answers.ts';
import { exchangeStream, type HttpRequest } from './client.ts';
import type { Requests } from './requests.ts';

/** Time limit of SQL over a large table. */
export const SQL_MS = 900_000;
const IDLE_MS = 120_000;

/**
 * Opens a framed answer: its first byte to its last, and nothing about whether it is complete (sync/download/frame.ts).
 * One attempt: what has been consumed cannot be repeated here. It holds one of the permits of the run until it is read
 * to its end or left; whoever asks for it reads it.
 */
export async function openFramed(requests: Requests, request: HttpRequest): Promise<AsyncGenerator<Uint8Array>> {
  const giveBack = await requests.semaphore.take(request.signal);
  try {
    const { body, ...answer } = await exchangeStream({ ...request, idleTimeoutMs: IDLE_MS });
    try {
      checkFramed(request.url, answer);
    } catch (error) {
      await body.return(undefined);
      throw error;
    }
    return endingWith(body, giveBack);
  } catch (error) {
    giveBack();
    throw error;
  }
}

async function* endingWith<T>(source: AsyncGenerator<T>, end: () => void): AsyncGenerator<T> {
  try {
    yield* source;
  } finally {
    end();
  }
}
