import Type from 'typebox';
import { TableFile } from './table-file.ts';

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
  /** Over these columns; absent where SQL Server does not compute it. */
  suma: Type.Optional(
    Type.Object({ columnas: Type.Array(Type.String()), valores: Type.String({ pattern: '^-?\\d+ -?\\d+$' }) }),
  ),
});
/** What is known of the target of a download. */
export type HeldDownload = Type.Static<typeof HeldSchema>;

export const heldDownloads = new TableFile('bajadas.json', HeldSchema);
