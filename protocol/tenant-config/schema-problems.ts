import { patternRules } from './values.ts';

/** What a schema says is wrong with a value, told in Spanish to whoever has to correct it. */

/** One thing wrong with a configuration: where, what stands there (cut to 80 characters), and the rule it breaks. */
export interface ConfigProblem {
  campo: string;
  valor: string;
  regla: string;
}

/** What `Compile` of TypeBox gives, as far as it is needed here. */
export interface Checker {
  Check(value: unknown): boolean;
  Errors(value: unknown): readonly unknown[];
}

/** Returns every breach of a schema by `value`, which is called `name`; of a union, what each of its branches says. */
export function findSchemaProblems(checker: Checker, value: unknown, name: string): ConfigProblem[] {
  return dedupe(checker.Errors(value).flatMap((error) => describe(error, value, name)));
}

interface SchemaError {
  keyword: string;
  instancePath: string;
  params: Record<string, unknown>;
  message: string;
}

function describe(raw: unknown, root: unknown, name: string): ConfigProblem[] {
  const { keyword, instancePath, params } = raw as SchemaError;
  const at = (suffix = '') => `${name}${pathOf(instancePath)}${suffix}`;
  const shown = show(valueAt(root, instancePath));
  switch (keyword) {
    case 'required': {
      const missing = (params.requiredProperties ?? [params.missingProperty]) as string[];
      return missing.map((name) => ({ campo: at(`.${name}`), valor: '(falta)', regla: 'es obligatorio' }));
    }
    case 'additionalProperties': {
      const extra = (params.additionalProperties ?? []) as string[];
      return extra.map((name) => ({ campo: at(`.${name}`), valor: shown, regla: 'no es un campo conocido' }));
    }
    case 'type':
      return [{ campo: at(), valor: shown, regla: `debe ser ${spanishTypes(params.type)}` }];
    case 'const':
      return [{ campo: at(), valor: shown, regla: `debe ser «${String(params.allowedValue)}»` }];
    case 'anyOf':
      return [{ campo: at(), valor: shown, regla: 'no es uno de los valores admitidos' }];
    case 'minLength':
    case 'minItems':
      return [{ campo: at(), valor: shown, regla: 'no puede estar vacío' }];
    case 'maxLength':
    case 'maxItems':
    case 'maximum':
      return [{ campo: at(), valor: shown, regla: `pasa del límite (${String(params.limit)})` }];
    case 'minimum':
      return [{ campo: at(), valor: shown, regla: `es menor que el mínimo (${String(params.limit)})` }];
    case 'pattern':
      return [{ campo: at(), valor: shown, regla: patternRules[String(params.pattern)]! }];
    case 'boolean':
      // An unknown property, reported a second time by its `false` schema.
      return [];
    default:
      return [{ campo: at(), valor: shown, regla: `no cumple «${keyword}»` }];
  }
}

function pathOf(pointer: string): string {
  const parts = pointer.split('/').slice(1).map(unescapePointer);
  return parts.map((part) => (/^\d+$/.test(part) ? `[${part}]` : `.${part}`)).join('');
}

function unescapePointer(part: string): string {
  return part.replace(/~1/g, '/').replace(/~0/g, '~');
}

function valueAt(root: unknown, pointer: string): unknown {
  let value = root;
  for (const part of pointer.split('/').slice(1).map(unescapePointer)) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<string, unknown>)[part];
  }
  return value;
}

/** Returns a value as a message shows it, cut to 80 characters. */
export function show(value: unknown): string {
  const text = (typeof value === 'string' ? value : JSON.stringify(value)) ?? '(falta)';
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

function spanishTypes(type: unknown): string {
  const names: Record<string, string> = {
    string: 'un texto',
    boolean: 'true o false',
    object: 'un objeto',
    array: 'una lista',
    integer: 'un número entero',
    number: 'un número',
  };
  return [type]
    .flat()
    .map((name) => names[String(name)] ?? String(name))
    .join(' o ');
}

function dedupe(problems: ConfigProblem[]): ConfigProblem[] {
  const seen = new Set<string>();
  return problems.filter(({ campo, regla }) => {
    const key = `${campo} ${regla}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}
