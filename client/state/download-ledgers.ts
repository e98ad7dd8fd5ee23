import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { writeFileAtomically } from '../files/files.ts';
import { assertFormat, isNewerFile, stampOf } from '../files/format.ts';

/**
 * `bajadas.json`: of each download table with `cambios: "huellas"` which ledger says what its target holds. A file that cannot be read
 * counts as none: the tables come down whole.
 */
const Count = Type.Integer({ minimum: 0 });

const HeldSchema = Type.Object({
  libro: Type.Object({ id: Type.String(), pares: Count, bytes: Count }),
  /** Of the table's configuration, connection and data key. */
  huella: Type.String(),
  /** The backend's digest of its query. */
  consulta: Type.String(),
  /** Of the target, in the transaction that wrote it. */
  filas: Count,
});
/** What is known of the target of a download. */
export type HeldDownload = Type.Static<typeof HeldSchema>;

const FORMAT = 1;
const FILE_NAME = 'bajadas.json';
const checker = Compile(Type.Object({ tablas: Type.Record(Type.String(), HeldSchema) }));

/** By table. Throws ARCHIVO_MAS_NUEVO, and nothing else. */
export async function readHeldDownloads(folder: string): Promise<Record<string, HeldDownload>> {
  const path = join(folder, FILE_NAME);
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    assertFormat(path, value, FORMAT);
    if (checker.Check(value)) return value.tablas;
  } catch (error) {
    if (isNewerFile(error)) throw error;
  }
  return {};
}

let writing: Promise<unknown> = Promise.resolve();

/** Puts `held` in the place of what was known of a table; undefined: nothing. One after the other. Throws what the disk says. */
export function keepHeldDownload(folder: string, tabla: string, held: HeldDownload | undefined): Promise<void> {
  const write = async () => {
    const { [tabla]: _, ...rest } = await readHeldDownloads(folder);
    const tablas = held === undefined ? rest : { ...rest, [tabla]: held };
    const content = `${JSON.stringify({ ...stampOf(FORMAT), tablas }, undefined, 1)}\n`;
    await writeFileAtomically(join(folder, FILE_NAME), content);
  };
  const done = writing.then(write, write);
  writing = done.catch(() => {});
  return done;
}
