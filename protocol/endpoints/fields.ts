import Type from 'typebox';
import { limits } from '../constants.ts';

/** Parts that bodies and answers of several endpoints share. */

/** The one member that says that it was done: every answer has it, and no error. */
export const Done = Type.Literal(true);
export const Count = Type.Integer({ minimum: 0 });
/** A count that PostgreSQL keeps as an integer. */
export const StoredCount = Type.Integer({ minimum: 0, maximum: 2_147_483_647 });
export const TextOrNull = Type.Union([Type.String(), Type.Null()]);
export const TableName = Type.String({ minLength: 1, maxLength: limits.tableNameMaxLength });
/** SHA-256, base64. */
export const Sha256 = Type.String({ pattern: '^[A-Za-z0-9+/]{43}=$' });
export const DireccionSchema = Type.Union([Type.Literal('upload'), Type.Literal('download')]);
export const ModoSchema = Type.Union([Type.Literal('completo'), Type.Literal('incremental')]);

/**
 * A generation: the state of a table at the centre that one commit made, named by that commit's upload (its id, or the
 * Idempotency-Key of a one-shot one).
 */
export const GeneracionSchema = Type.String({ pattern: '^[!-~]{1,200}$' });

/** The digest of a description of columns (protocol/rows/drift.ts), in hexadecimal. */
export const HuellaEsquema = Type.String({ pattern: '^[0-9a-f]{64}$' });

/** What an upload says of the reading that it is; of both kinds of upload. */
export const lecturaProperties = {
  /** The generation that the sender's mark stands on. Without it nothing is compared. */
  base: Type.Optional(GeneracionSchema),
  /** The source's UTC clock before the reading. Without it nothing is compared. */
  lectura: Type.Optional(Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d{1,7})?Z$' })),
  /** The sender has seen that the source's clock went back: `lectura` may be older than the newest. */
  relojAtrasado: Type.Optional(Type.Boolean()),
  /**
   * The upload is partial and stands on a ledger of what the centre has: `base` is required, has to be the newest generation of the
   * table, and no row of its tipo_campo may have been changed since by anything but the table's own uploads.
   */
  huellas: Type.Optional(Type.Boolean()),
  /** The columns that its rows have, as they were described (POST /esquemas). Without it nothing is compared. */
  esquema: Type.Optional(HuellaEsquema),
};
