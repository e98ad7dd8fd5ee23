import { cambiosOf, isPhaseAt, type TablaSubida } from '../../../protocol/tenant-config/config.ts';
import { sensitiveColumnsOf } from '../../rows/field-encryption.ts';
import { lookAtChanges, type Unchanged } from '../../sqlserver/read/change-tracking.ts';
import { readAgentClock } from '../../sqlserver/session/clock.ts';
import { SqlServerError } from '../../sqlserver/sql-server.ts';
import { type Fingerprints, fingerprintsOf, type Watermark } from '../../state/watermarks.ts';
import { atSqlServer } from '../at-sql-server.ts';
import type { Looks, SyncContext } from '../context.ts';
import { baseTablesOf } from './change-tracking.ts';
import { isDue } from './reading.ts';

/**
 * Most tables with `cambios: "seguimiento"` have no news at most runs. The first one of a connection looks at all of them in one request,
 * and those without news need nothing more of SQL Server.
 *
 * A look only ever says that there is nothing new. Whatever it does not say for certain (no mark, an expired one, `completoCada`, SQL to
 * run, a look that failed) is left to the table itself, which looks again and says what is wrong.
 */

/** In one request: their text and their parameters have bounds at SQL Server. */
const TABLES_MAX = 100;

export class TrackingLooks implements Looks {
  readonly #tablas: readonly TablaSubida[];
  /** By connection. */
  readonly #looks = new Map<string | undefined, Promise<ReadonlyMap<string, Unchanged>>>();

  /** Of a run that uploads `tablas`. */
  constructor(tablas: readonly TablaSubida[]) {
    this.#tablas = tablas.filter(isLookedAt);
  }

  /** @throws SqlServerError where SQL Server does not let the agent in; the signal's reason */
  async find(context: SyncContext, tabla: TablaSubida, fingerprints: Fingerprints): Promise<Unchanged | undefined> {
    if (!this.#tablas.includes(tabla)) return undefined;
    const mark = context.watermarks.get(tabla.nombre, fingerprints);
    if (mark?.seguimiento === undefined) return undefined;
    const { conexion } = tabla;
    let look = this.#looks.get(conexion);
    if (look === undefined) {
      look = this.#look(context, tabla);
      this.#looks.set(conexion, look);
      // Another attempt looks again.
      look.catch(() => this.#looks.delete(conexion));
    }
    const found = (await look).get(tabla.nombre);
    // The mark of a table that was committed since is another one.
    if (found?.desde !== mark.seguimiento || isDue(tabla, mark, found.now.utc)) return undefined;
    return found;
  }

  forget(): void {
    this.#looks.clear();
  }

  async #look(context: SyncContext, first: TablaSubida): Promise<ReadonlyMap<string, Unchanged>> {
    const marked = this.#tablas.flatMap((tabla) => {
      const desde = tabla.conexion === first.conexion ? markOf(context, tabla)?.seguimiento : undefined;
      return desde === undefined ? [] : [{ tabla, desde }];
    });
    let connected = false;
    try {
      return await atSqlServer(context, first, async (db) => {
        connected = true;
        const unchanged = new Map<string, Unchanged>();
        for (let at = 0; at < marked.length; at += TABLES_MAX) {
          const some = marked.slice(at, at + TABLES_MAX);
          const queries = some.map(({ tabla, desde }) => ({ tablas: baseTablesOf(tabla), desde }));
          const { reloj: now, actual: hasta, iguales } = await lookAtChanges(db, queries, context.signal);
          const after = readAgentClock();
          for (const [n, { tabla, desde }] of some.entries()) {
            if (iguales[n]) unchanged.set(tabla.nombre, { desde, hasta, now, after });
          }
        }
        return unchanged;
      });
    } catch (error) {
      // Which table it is of shows when each one looks by itself.
      if (!connected || !(error instanceof SqlServerError)) throw error;
      return new Map();
    }
  }
}

/** Returns whether a table without news has nothing to do. */
function isLookedAt(tabla: TablaSubida): boolean {
  if (cambiosOf(tabla) !== 'seguimiento') return false;
  const sides = ['origen', 'destino'] as const;
  return !sides.some((side) =>
    [tabla.pre_process, tabla.post_process].some((phase) => isPhaseAt(phase, 'upload', side)),
  );
}

function markOf(context: SyncContext, tabla: TablaSubida): Watermark | undefined {
  const { nombre } = tabla;
  return context.watermarks.get(nombre, fingerprintsOf(tabla, context, sensitiveColumnsOf(tabla, context.dataKey)));
}
