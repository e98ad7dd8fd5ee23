import { defined } from '../../../protocol/defined.ts';
import type { TablaSubida } from '../../../protocol/tenant-config/config.ts';
import { boundsIn, DESDE_VERSION, HASTA_VERSION } from '../../../protocol/tenant-config/version-bounds.ts';
import { sqlServerError } from '../../sqlserver/errors.ts';
import { describeResult, wrapQuery } from '../../sqlserver/read/range-key.ts';
import { TICKS_PER_SECOND, ticksOf } from '../../sqlserver/session/clock.ts';
import type { Queryable } from '../../sqlserver/session/queryable.ts';
import type { SeenVersions, VersionBounds } from '../../sqlserver/session/versions.ts';
import { quoteName, type SqlParameter, SqlServerError } from '../../sqlserver/sql-server.ts';
import type { Watermark } from '../../state/watermarks.ts';

/**
 * `cambios: "rowversion"`: rows whose rowversion is above what was read before.
 *
 * A rowversion is drawn when a row is written and seen when its transaction commits, so the newest one (@@DBTS) is no bound: rows of
 * transactions that are open would fall behind it. MIN_ACTIVE_ROWVERSION() is the first one that is not settled yet, and everything
 * below it is. It is asked before the rows are read: what is written meanwhile is above it, and is of the next run.
 *
 * A whole reading has no upper bound. It may tell the backend what is gone, and a row that is above the bound is not gone.
 */

const NONE = `0x${'0'.repeat(16)}`;
const LAST = `0x${'F'.repeat(16)}`;
export const EVERY_VERSION: VersionBounds = { desde: NONE, hasta: LAST };
const STILL_FOR = 3600n * TICKS_PER_SECOND;

export interface VersionPlan {
  /** Everything is read. */
  entera: boolean;
  versiones: VersionBounds;
  /** UTC clock of the reading that first saw `hasta`. */
  quieta: string;
  /** The database has come to before the mark: a restore, or another database. */
  retrocedida: boolean;
  /** An open transaction has held the bound back for long. */
  parada: boolean;
}

/** Decides from the mark and from what the database says. `isDue`: the whole table is to be read (completoCada). */
export function planVersions(
  mark: Pick<Watermark, 'version' | 'quieta'> | undefined,
  { hasta, held }: SeenVersions,
  utc: string,
  isDue: boolean,
): VersionPlan {
  const desde = mark?.version;
  const retrocedida = desde !== undefined && hasta < desde;
  const entera = desde === undefined || retrocedida || isDue;
  const quieta = desde === hasta ? (mark?.quieta ?? utc) : utc;
  return {
    entera,
    versiones: { desde: entera ? NONE : desde, hasta },
    quieta,
    retrocedida,
    parada: held && ticksOf(utc) - ticksOf(quieta) >= STILL_FOR,
  };
}

/** Returns the query with its bounds: its own, where it has the placeholders, else around it. */
export function boundedQuery({ columna, process: { query } }: TablaSubida, entera: boolean): string {
  if (entera || boundsIn(query).desde) return query;
  const column = `q.${quoteName(columna!)}`;
  return `SELECT * FROM ${wrapQuery(query)} AS q WHERE ${column} > @${DESDE_VERSION} AND ${column} <= @${HASTA_VERSION}`;
}

/** Returns the values of the placeholders that `sql` mentions. */
export function versionParameters(sql: string, { desde, hasta }: VersionBounds, entera: boolean): SqlParameter[] {
  const mentioned = boundsIn(sql);
  const parameter = (name: string, value: string) => ({ name, type: 'binary(8)' as const, value });
  return [
    ...(mentioned.desde ? [parameter(DESDE_VERSION, entera ? NONE : desde)] : []),
    ...(mentioned.hasta ? [parameter(HASTA_VERSION, entera ? LAST : hasta)] : []),
  ];
}

/**
 * Sees that `columna` is a rowversion, or a binary(8) that one was converted to: any other type would be compared all
 * the same, and rows be lost.
 * @throws {SqlServerError} COLUMNA_VERSION, CONSULTA_ENVUELTA for a query that cannot be wrapped
 */
export async function assertVersionColumn(db: Queryable, tabla: TablaSubida, signal: AbortSignal): Promise<void> {
  const columna = tabla.columna!;
  const describe = (sql: string) => describeResult(db, sql, versionParameters(sql, EVERY_VERSION, false), signal);
  const described = await describe(tabla.process.query);
  const alike = described.filter(({ is_hidden }) => !is_hidden);
  const found = alike.find(({ name }) => name?.toLowerCase() === columna.toLowerCase());
  if (found === undefined) throw wrongColumn(columna, 'no está en la consulta');
  const type = found.system_type_name ?? 'CLR';
  if (!['timestamp', 'rowversion', 'binary(8)'].includes(type)) throw wrongColumn(columna, `es de tipo ${type}`);
  await describe(boundedQuery(tabla, false)).catch((error: unknown) => {
    throw asWrapped(error);
  });
}

/** Returns what is said of a query that does not stand in parentheses, where that is not for `particion`. */
export function asWrapped(error: unknown): unknown {
  if (!(error instanceof SqlServerError) || error.code !== 'PARTICION_CONSULTA') return error;
  const { number, message } = error.cause as SqlServerError;
  return sqlServerError('CONSULTA_ENVUELTA', { texto: message }, { ...defined({ number }), cause: error });
}

function wrongColumn(columna: string, motivo: string): SqlServerError {
  return sqlServerError('COLUMNA_VERSION', { columna, motivo });
}
