/**
 * Returns the `tipo_campo` of a table without `tipoCampo`: `vista_`, `tabla_`, `plan_` and `_sync`, `_erp` fall away
 * and a Spanish plural becomes singular. `vista_proveedores` → `proveedor`, `vista_productos_sync` → `producto`,
 * `plan_cuentas` → `cuenta`, `dbo.clientes` → `cliente`.
 */
export function deriveTipoCampo(nombre: string): string {
  const bare = nombre
    .toLowerCase()
    .replace(/[[\]"]/g, '')
    .split('.')
    .at(-1)!
    .trim();
  const stem = bare.replace(/^(vista|tabla|plan|vw|v|tbl)_/, '').replace(/_(sync|erp|vista|view)$/, '');
  return singularOf(stem === '' ? bare : stem);
}

function singularOf(word: string): string {
  if (/ces$/.test(word)) return word.replace(/ces$/, 'z');
  // -res, -les, -nes, -des, -yes: the plural of a word that ends in that consonant (proveedores, sucursales, almacenes).
  if (/[rlndy]es$/.test(word) && !/(ntes|ables|ibles|bles|tles|ples|gles)$/.test(word)) return word.slice(0, -2);
  // paises, meses, intereses; but clases, bases.
  if (/[ie]ses$/.test(word)) return word.slice(0, -2);
  if (/[aeiouáéíóú]s$/.test(word)) return word.slice(0, -1);
  return word;
}

const SHORT_FORM = /^\s*parametros_maestros\.tipo_campo\s*=\s*(?:'([^']+)'|([^\s';]+))\s*;?\s*$/i;

/**
 * Returns the `tipo_campo` of a download's query in the short form, `parametros_maestros.tipo_campo=cuenta`; undefined
 * where it is SQL.
 */
export function tipoCampoOfShortForm(query: string): string | undefined {
  const match = SHORT_FORM.exec(query);
  return match?.[1] ?? match?.[2];
}
