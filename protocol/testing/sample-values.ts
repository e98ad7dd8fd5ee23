import { isDeepStrictEqual } from 'node:util';
import type { Fields } from '../tenant-config/field.ts';

/** Two values of each schema that a configuration field may have, so that a test can change one field after the other. */

interface AnySchema {
  type?: string;
  const?: unknown;
  anyOf?: AnySchema[];
  pattern?: string;
  minimum?: number;
  maximum?: number;
  items?: AnySchema;
  properties?: Record<string, AnySchema>;
  patternProperties?: Record<string, AnySchema>;
}

const TEXTS = ['a', 'b', '10:00', '11:00', '1h', '2h'];

/** Returns a valid value of `schema`; of the two that there are, the one that `which` says. */
export function sampleOf(schema: unknown, which: 0 | 1): unknown {
  const {
    type,
    anyOf,
    pattern,
    minimum,
    maximum,
    items,
    properties = {},
    patternProperties = {},
    ...rest
  } = schema as AnySchema;
  if ('const' in rest) return rest.const;
  if (anyOf !== undefined) return anyOf[which]?.const ?? sampleOf(anyOf[0], which);
  switch (type) {
    case 'string':
      return TEXTS.filter((text) => pattern === undefined || new RegExp(pattern).test(text))[which];
    case 'integer':
    case 'number':
      return which === 0 ? minimum : maximum;
    case 'boolean':
      return which === 0;
    case 'array':
      return [sampleOf(items, which)];
    case 'object':
      return Object.fromEntries([
        ...Object.entries(properties).map(([name, each]) => [name, sampleOf(each, which)]),
        ...Object.values(patternProperties).map((each) => ['x', sampleOf(each, which)]),
      ]);
    default:
      throw new Error(`no sample of ${JSON.stringify(schema)}`);
  }
}

export interface Change<T> {
  /** `pre_process.sql`. */
  name: string;
  /** What the declarations say that it touches: what a member says counts as far as the field that it is a part of says it too. */
  touches: ReadonlySet<string>;
  changed: T;
}

/** Yields `base` with another value in each of `fields`, and in each member of them, one at a time. */
export function changesOf<T extends object>(fields: Fields, base: T): Change<T>[] {
  return Object.entries(fields).flatMap(([name, { schema, touches, members = {} }]) => {
    const effects = Object.keys(touches);
    const value = (base as Record<string, unknown>)[name];
    const other = [1, 0].map((which) => sampleOf(schema, which as 0 | 1)).find((one) => !isDeepStrictEqual(one, value));
    const whole = { name, touches: new Set(effects), changed: { ...base, [name]: other } };
    const inner = Array.isArray(value) ? (value[0] as object) : (value as object);
    const parts = changesOf(members, inner).map((part) => ({
      name: `${name}.${part.name}`,
      touches: new Set(effects.filter((effect) => part.touches.has(effect))),
      changed: { ...base, [name]: Array.isArray(value) ? [part.changed] : part.changed },
    }));
    return [whole, ...parts];
  });
}

/** Returns a table that gives every field. */
export function sampleTable(fields: Fields): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([name, { schema }]) => [name, sampleOf(schema, 0)]));
}
