import { replaceMembers } from './members.ts';

/** Where a name comes from, in this order (server/rows/merge.ts). */
const NAMES = ['nombre', 'descripcion', 'razon_social'];

/** Where the members of a line are, for all lines with these columns. */
export interface Layout {
  names: readonly string[];
  /** Bytes from the end of the value before (or the start of the line) to the value: `,"name":`. */
  skips: Int32Array;
  /** Columns of the document, in jsonb's order. */
  kept: Int32Array;
  /** What stands before each of them: `{"name": ` or `, "name": `. */
  prefixes: Uint8Array[];
  key: Int32Array;
  /** The other column whose value the key's has to be equal to; -1: none. */
  twin: number;
  nombre: Int32Array;
  activo: number;
}

/** Reads what the first line of a result says of all. */
export function readLayout(line: string, primaryKey: readonly string[]): Layout {
  const names: string[] = [];
  const written: string[] = [];
  replaceMembers(line, (name, json) => {
    names.push(name);
    written.push(JSON.stringify(name));
    return json;
  });
  // Of names that are repeated the last one counts.
  const find = (name: string) => names.lastIndexOf(name);
  const { key, twin, dropped } = keyColumns(primaryKey, find);
  const kept = names
    .map((name, column) => ({ column, name, bytes: Buffer.from(name) }))
    .filter(({ name, column }) => !dropped.includes(name) && find(name) === column)
    .sort((a, b) => a.bytes.length - b.bytes.length || Buffer.compare(a.bytes, b.bytes));
  return {
    names,
    skips: Int32Array.from(written, (name) => Buffer.byteLength(name) + 2),
    kept: Int32Array.from(kept, ({ column }) => column),
    prefixes: kept.map(({ column }, i) => Buffer.from(`${i === 0 ? '{' : ', '}${written[column]}: `)),
    key: Int32Array.from(key),
    twin,
    nombre: Int32Array.from(NAMES.map(find).filter((column) => column >= 0)),
    activo: find('activo'),
  };
}

/** Which columns make the key, by index, and what the document leaves out (server/rows/staging.ts, rowKeyOf). */
function keyColumns(primaryKey: readonly string[], find: (name: string) => number) {
  const codigo = find('codigo');
  const indices = primaryKey.map(find);
  const missing = indices.some((index) => index < 0);
  if (primaryKey.length > 1) return { key: missing ? [] : indices, twin: -1, dropped: ['nombre', 'activo'] };
  const dropped = ['codigo', 'nombre', 'activo'];
  const own = indices[0] ?? codigo;
  if (codigo < 0 || own === codigo) return { key: own < 0 ? [] : [own], twin: -1, dropped };
  return { key: [codigo], twin: own, dropped };
}
