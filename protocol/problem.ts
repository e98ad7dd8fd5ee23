import Type from 'typebox';
import { type ErrorCode, errorTable } from './error-table.ts';
import { type Problem, SyncError } from './errors.ts';

/** The body of an error answer, as it is sent (`SyncError.toProblem`) and read. */
export const ProblemSchema = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  detail: Type.String(),
  code: Type.Union((Object.keys(errorTable) as ErrorCode[]).map((code) => Type.Literal(code))),
  success: Type.Literal(false),
  mensaje: Type.String(),
  tabla: Type.Optional(Type.String()),
  fase: Type.Optional(Type.String()),
  linea: Type.Optional(Type.Integer()),
  campo: Type.Optional(Type.String()),
  trozo: Type.Optional(Type.Integer()),
  lectura: Type.Optional(Type.String()),
  reintentarEn: Type.Optional(Type.Number()),
});

/** Returns an answer's body as a SyncError, or undefined when it is not one of ours (a proxy's page, say). */
export function readProblem(body: unknown): SyncError | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  const { code, detail, tabla, fase, linea, campo, trozo, lectura, reintentarEn } = body as Partial<Problem>;
  if (typeof code !== 'string' || !Object.hasOwn(errorTable, code)) return undefined;
  const known = { tabla, fase, linea, campo, trozo, lectura, retryAfter: reintentarEn };
  const given = Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined));
  return new SyncError(code, typeof detail === 'string' ? detail : errorTable[code].title, given);
}
