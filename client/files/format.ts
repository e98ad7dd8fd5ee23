import { AgentError, agentError } from '../errors/agent-error.ts';
import { version } from '../version.ts';

/**
 * What the agent keeps on the disk from one run to the next says its format, a number from 1, and which version of the agent
 * wrote it. A file that says nothing is of the first format. Older formats are read; a newer one is refused untouched: to
 * take it for damaged would be to read, send or forget again what a newer agent had settled.
 *
 * Not numbered: files that people write too (a password on one line), and logs, which are read as text.
 */
export interface FileStamp {
  formato: number;
  /** The version of the agent. */
  agente: string;
}

/** Returns the stamp of a file that is written now. */
export function stampOf(formato: number): FileStamp {
  return { formato, agente: version };
}

/** Returns the error that the file at `path` is of a newer agent; `stamp` is what it tells of it. */
export function newerFile(path: string, newest: number, stamp?: { formato: number; agente: unknown }): AgentError {
  const agente = typeof stamp?.agente === 'string' && /^[\w.+-]{1,40}$/.test(stamp.agente) ? stamp.agente : undefined;
  const formato = stamp === undefined ? '' : ` (formato ${stamp.formato}; este lee hasta el ${newest})`;
  return agentError('ARCHIVO_MAS_NUEVO', {
    archivo: path,
    autor: `${agente === undefined ? 'de versión desconocida' : `la versión ${agente}`}${formato}`,
    version,
    otra: agente === undefined ? 'la versión que lo escribió' : `la versión ${agente}`,
  });
}

export function isNewerFile(error: unknown): error is AgentError {
  return error instanceof AgentError && error.code === 'ARCHIVO_MAS_NUEVO';
}

/** @throws {AgentError} ARCHIVO_MAS_NUEVO where `content` (of the file at `path`) says a format beyond `newest` */
export function assertFormat(path: string, content: unknown, newest: number): void {
  const { formato, agente } = (content ?? {}) as Partial<FileStamp>;
  if (typeof formato === 'number' && formato > newest) throw newerFile(path, newest, { formato, agente });
}
