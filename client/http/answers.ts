import type Type from 'typebox';
import { Compile, type Validator } from 'typebox/compile';
import { mediaTypes } from '../../protocol/constants.ts';
import { type AnswerTo, answerSchemaOf, type EndpointName, endpoints, successOf } from '../../protocol/endpoints.ts';
import { foreignAnswer } from './backend-error.ts';
import type { Answer } from './client.ts';

/**
 * What each answer of the backend has to be before the agent believes it. A gateway's page with 200, an empty 204, a 304 that
 * nobody asked for and another service under the same name are no commit: nothing may move for them.
 */

const checkers = new Map<Type.TSchema, Validator>();

function checkerOf(schema: Type.TSchema): Validator {
  const checker = checkers.get(schema) ?? Compile(schema);
  checkers.set(schema, checker);
  return checker;
}

/** What an answer has to say beside what its endpoint declares: the same names and counts as were sent. */
export interface Expected {
  /** The one of several schemas that belongs to this request. Defaults to what the endpoint declares. */
  schema?: Type.TSchema;
  /** Fields by name; one that the schema lets be missing may be. */
  echo?: Readonly<Record<string, unknown>>;
  /** What else makes it another's, in a few words. */
  objection?: (body: never) => string | undefined;
}

/**
 * Returns the body of an answer that is what its endpoint declares.
 * @throws {BackendError} RESPUESTA_AJENA
 */
export function checkAnswer<Name extends EndpointName>(
  name: Name,
  url: string,
  { status, body }: Answer,
  { schema = answerSchemaOf(endpoints[name])!, echo = {}, objection }: Expected,
): AnswerTo<Name> {
  const wanted = successOf(endpoints[name]);
  if (status !== wanted) throw foreignAnswer(url, status, `se esperaba ${wanted}`);
  const checker = checkerOf(schema);
  if (!checker.Check(body)) throw foreignAnswer(url, status, describeFault(checker.Errors(body)));
  const answered = body as Record<string, unknown>;
  for (const [name, value] of Object.entries(echo)) {
    if (answered[name] === undefined || answered[name] === value) continue;
    throw foreignAnswer(url, status, `«${name}» es ${textOf(answered[name])} y no ${textOf(value)}`);
  }
  const reason = objection?.(body as never);
  if (reason !== undefined) throw foreignAnswer(url, status, reason);
  return body as AnswerTo<Name>;
}

/** @throws {BackendError} RESPUESTA_AJENA unless the answer is a framed download. */
export function checkFramed(url: string, { status, headers }: Omit<Answer, 'body'>): void {
  const type = headers.get('content-type') ?? '';
  const plain = type.toLowerCase().replace(/\s/g, '').split(';');
  const [framed, mark] = mediaTypes.framedNdjson.replace(/\s/g, '').split(';');
  if (status === 200 && plain[0] === framed && plain.includes(mark!)) return;
  throw foreignAnswer(url, status, `es «${type.slice(0, 60)}», no una descarga`);
}

/**
 * Returns whether it says that what `etag` names has not changed.
 * @throws {BackendError} RESPUESTA_AJENA: a 304 that nobody asked for, or that is of something else.
 */
export function isUnchanged(url: string, { status, headers }: Answer, etag: string | undefined): boolean {
  if (status !== 304) return false;
  const bare = (tag: string | null | undefined) => tag?.replace(/^W\//, '');
  if (etag !== undefined && etag !== '' && bare(headers.get('etag')) === bare(etag)) return true;
  throw foreignAnswer(url, status, 'nada dice que sea de esta configuración');
}

function describeFault(errors: readonly { instancePath: string; message: string }[]): string {
  const [first] = errors;
  const place = first?.instancePath.slice(1).replaceAll('/', '.') ?? '';
  return place === '' ? 'no tiene los campos de la respuesta' : `«${place}» no es lo que debe ser`;
}

function textOf(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nada';
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}
