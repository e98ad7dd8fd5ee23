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
