import { Compile } from 'typebox/compile';
import { findContradictions } from './contradictions.ts';
import { type ConfigProblem, findSchemaProblems } from './schema-problems.ts';
import { type ConfiguracionTablas, ConfiguracionTablasSchema } from './settings.ts';

const checker = Compile(ConfiguracionTablasSchema);

/** Finds everything wrong with a `configuracionTablas`, in Spanish; empty when it is valid. Bounded at 50 problems. */
export function findConfigProblems(value: unknown): ConfigProblem[] {
  const problems = checker.Check(value)
    ? findContradictions(value as ConfiguracionTablas)
    : findSchemaProblems(checker, value, 'configuracionTablas');
  return problems.slice(0, 50);
}
