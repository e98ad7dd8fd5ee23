/**
 * How PostgreSQL finds the two hashes of a row of parametros_maestros that `verify` compares, as SQL over the table's columns; the
 * agent finds the same from a row's NDJSON (client/rows/canonical.ts). `seed`: SQL of a bigint.
 */

/** Returns the SQL of the hash of the key. */
export function keyHashSql(seed: string): string {
  return `hashtextextended(codigo, ${seed})`;
}

/**
 * Returns the SQL of the hash of the key, the name and the document, `activo` in its lowest bit. The key is the seed of
 * what follows: contents never swap unseen.
 */
export function rowHashSql(seed: string): string {
  const key = keyHashSql(seed);
  const named = `coalesce(hashtextextended(nombre COLLATE "C", ${key}), ~${key})`;
  return `((hashtextextended(parametros_json::text COLLATE "C", ${named}) & -2) | activo::integer)`;
}

/** Returns the SQL of the hash of the text of one member of the document, or of a column. */
export function valueHashSql(text: string, seed: string): string {
  return `hashtextextended((${text}) COLLATE "C", ${seed})`;
}
