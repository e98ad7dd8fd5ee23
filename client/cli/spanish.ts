/**
 * The texts of yargs in Spanish. They are here, and not taken from its own files, because a compiled program has no
 * files beside it.
 */
const plain = {
  'Commands:': 'Comandos:',
  'Options:': 'Opciones:',
  'Examples:': 'Ejemplos:',
  boolean: 'sí/no',
  string: 'texto',
  number: 'número',
  array: 'lista',
  required: 'obligatorio',
  default: 'por omisión',
  'default:': 'por omisión:',
  'Arguments %s and %s are mutually exclusive': 'Las opciones %s y %s no van juntas',
  'Not enough arguments following: %s': 'Falta el valor de: %s',
  'Invalid values:': 'Valores no admitidos:',
  'Argument: %s, Given: %s, Choices: %s': 'opción %s, valor %s, se admite: %s',
  'choices:': 'valores:',
  'Show help': 'Muestra esta ayuda',
  'Show version number': 'Muestra la versión',
};

/** Singular and plural. */
const counted: Record<string, [string, string]> = {
  'Missing required argument: %s': ['Falta la opción obligatoria: %s', 'Faltan las opciones obligatorias: %s'],
  'Unknown argument: %s': ['Argumento desconocido: %s', 'Argumentos desconocidos: %s'],
  'Unknown command: %s': ['Comando desconocido: %s', 'Comandos desconocidos: %s'],
  'Missing argument value: %s': ['Falta el valor de: %s', 'Faltan los valores de: %s'],
};

const plurals = Object.entries(counted).map(([key, [one, other]]) => [key, { one, other }]);

/** As yargs takes them; its type declaration leaves the plurals out. */
export const spanish = { ...plain, ...(Object.fromEntries(plurals) as Record<string, string>) };

const commands = [
  ...['init', 'test', 'approve', 'data-key', 'sync', 'rotate-key', 'status', 'logs', 'doctor'],
  ...['schedule', 'install', 'remove'],
];
const words = [
  ...commands,
  'url',
  'tenant',
  'key',
  'carpeta',
  'archivo-password',
  'cada',
  'limite',
  'cuenta',
  'nombre',
  'tabla',
  'nivel',
  'limite-kbps',
  'ahora',
  'lineas',
  'json',
  'sin-spool',
  'upload-only',
  'download-only',
  'sql-host',
  'sql-port',
  'sql-database',
  'sql-user',
  'sql-password',
  'sql-sin-cifrado',
  'sql-confiar-certificado',
  'sql-ca',
  'sql-nombre-certificado',
  'ca',
  'dpapi',
  'permitir-http',
  'aprobar-sql',
  'huella',
  'archivo',
];

/** ` ¿Quiso decir …?` when a word of `message` looks like one that exists, else nothing. */
export function suggestionFor(message: string): string {
  if (!/desconocid/.test(message)) return '';
  const given = message.slice(message.lastIndexOf(':') + 1).match(/[\p{L}\d-]+/gu) ?? [];
  for (const word of given) {
    const near = words.find((known) => known !== word && (distance(word, known) <= 2 || known.startsWith(word)));
    if (near !== undefined) return ` ¿Quiso decir ${commands.includes(near) ? near : `--${near}`}?`;
  }
  return '';
}

/** Levenshtein distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
