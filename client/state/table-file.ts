import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { writeFileAtomically } from '../files/files.ts';
import { assertFormat, isNewerFile, stampOf } from '../files/format.ts';

const FORMAT = 1;

/** A small file of the install folder that says something of each table, by name. One that cannot be read says nothing of any. */
export class TableFile<S extends Type.TSchema> {
  readonly #name: string;
  readonly #check: (value: unknown) => boolean;
  /** The last writing that was begun: tables are run at the same time. */
  #written: Promise<unknown> = Promise.resolve();

  /** `schema`: of what is said of one table. */
  constructor(name: string, schema: S) {
    const checker = Compile(Type.Object({ tablas: Type.Record(Type.String(), schema) }));
    this.#name = name;
    this.#check = (value) => checker.Check(value);
  }

  /** @throws AgentError ARCHIVO_MAS_NUEVO, and nothing else */
  async read(folder: string): Promise<Record<string, Type.Static<S>>> {
    const path = join(folder, this.#name);
    try {
      const value: unknown = JSON.parse(await readFile(path, 'utf8'));
      assertFormat(path, value, FORMAT);
      if (this.#check(value)) return (value as { tablas: Record<string, Type.Static<S>> }).tablas;
    } catch (error) {
      if (isNewerFile(error)) throw error;
    }
    return {};
  }

  /** Puts `said` in the place of what was said of a table; undefined: nothing. @throws what the disk says, ARCHIVO_MAS_NUEVO */
  keep(folder: string, table: string, said: Type.Static<S> | undefined): Promise<void> {
    const write = async () => {
      const { [table]: _, ...rest } = await this.read(folder);
      const tablas = said === undefined ? rest : { ...rest, [table]: said };
      const content = `${JSON.stringify({ ...stampOf(FORMAT), tablas }, undefined, 1)}\n`;
      await writeFileAtomically(join(folder, this.#name), content);
    };
    const done = this.#written.then(write, write);
    this.#written = done.catch(() => {});
    return done;
  }
}
