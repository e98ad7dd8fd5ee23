import Type from 'typebox';
import type { Queryable } from './queryable.ts';

/** The numbers by which SQL Server orders changes: rowversion, and the versions of Change Tracking. */

/** A rowversion as text: its eight bytes, so that texts compare as the bytes do. */
export const Version = Type.String({ pattern: '^0x[0-9A-F]{16}$' });

export const VersionBoundsSchema = Type.Object({ desde: Version, hasta: Version });
/** Rows above `desde`, up to `hasta`. */
export type VersionBounds = Type.Static<typeof VersionBoundsSchema>;

/** What the database says of its versions. */
export interface SeenVersions {
  /** The newest one below which nothing is unsettled. */
  hasta: string;
  /** Whether a transaction that is open holds it back. */
  held: boolean;
}

/** Reads the upper bound of a reading, exactly. */
export async function readVersions(db: Queryable, signal: AbortSignal): Promise<SeenVersions> {
  const sql = `SELECT CONVERT(varchar(20), CONVERT(bigint, MIN_ACTIVE_ROWVERSION())) AS activa,
    CONVERT(varchar(20), CONVERT(bigint, @@DBTS)) AS ultima`;
  const [{ activa, ultima } = {}] = await db.query(sql, { signal });
  const hasta = BigInt(String(activa)) - 1n;
  return { hasta: versionText(hasta), held: BigInt(String(ultima)) > hasta };
}

/** Returns the text of a version that SQL Server gave as a bigint, which has a sign. */
export function versionText(version: bigint): string {
  return `0x${BigInt.asUintN(64, version).toString(16).toUpperCase().padStart(16, '0')}`;
}

/** A version of Change Tracking: a bigint, as text. */
export const TrackingVersion = Type.String({ pattern: '^\\d{1,19}$' });

/** What a reading by Change Tracking is bound by. */
export const TrackingHeadSchema = Type.Object({
  /** Changes since this version; undefined: everything. */
  desde: Type.Optional(TrackingVersion),
  /** The version before the reading. */
  hasta: TrackingVersion,
  /** Places of the base tables that changed. */
  cambiadas: Type.Array(Type.Integer({ minimum: 0 })),
  /** Whether the reading is under SNAPSHOT. */
  snapshot: Type.Boolean(),
});
export type TrackingHead = Type.Static<typeof TrackingHeadSchema>;
