import Type from 'typebox';
import { SqlServerError } from '../sqlserver/sql-server.ts';
import { TableFile } from './table-file.ts';
import { type Fingerprints, isMadeWith } from './watermarks.ts';

/**
 * `sin-snapshot.json`: of which tables SQL Server has refused a reading under SNAPSHOT for what the query reads, so that not every run
 * fails first. Nothing that is synchronised depends on it: a file that cannot be read says nothing of any table.
 */
const NoteSchema = Type.Object({
  /** Of the table's configuration and connection: with another query it may be allowed. */
  huella: Type.String(),
  /** ISO, the agent's clock. */
  desde: Type.String(),
});
const notes = new TableFile('sin-snapshot.json', NoteSchema);

/** After that it is tried again: the other database may allow it by then. */
const BELIEVED_MS = 7 * 86_400_000;

/** Another database of the query does not allow it (3952), or is at another server (7420); the table lies in memory (41332). */
const LASTING: ReadonlySet<number | undefined> = new Set([3952, 7420, 41_332]);
/** The table changed its columns (3961); the rows of then are gone, for tempdb is full (3958, 3966, 3967). */
const PASSING: ReadonlySet<number | undefined> = new Set([3958, 3961, 3966, 3967]);

/** Returns whether an error is one that only a reading under SNAPSHOT fails of. */
export function isSnapshotRefused(error: unknown): boolean {
  return error instanceof SqlServerError && (LASTING.has(error.number) || PASSING.has(error.number));
}

/** Keeps for the next runs that a reading was refused, where it would be again. @throws what the disk says, ARCHIVO_MAS_NUEVO */
export async function noteRefusal(
  folder: string,
  tabla: string,
  { actual }: Fingerprints,
  error: unknown,
): Promise<void> {
  if (!(error instanceof SqlServerError) || !LASTING.has(error.number)) return;
  await notes.keep(folder, tabla, { huella: actual, desde: new Date().toISOString() });
}

/** Returns whether a table is known to be refused. @throws AgentError ARCHIVO_MAS_NUEVO */
export async function isKnownRefused(folder: string, tabla: string, fingerprints: Fingerprints): Promise<boolean> {
  const note = (await notes.read(folder))[tabla];
  if (note === undefined || !isMadeWith(note.huella, fingerprints)) return false;
  // A clock that went back makes it no older than it is.
  return Math.abs(Date.now() - Date.parse(note.desde)) < BELIEVED_MS;
}
