import Negotiator from 'negotiator';
import { mediaTypes } from '../../protocol/constants.ts';
import { SyncError } from '../../protocol/errors.ts';
import type { DownloadFormat } from '../transfer/download-formats.ts';

/** What a client would have, by its preferences (RFC 9110, 12.5). */

const formats: Readonly<Record<string, DownloadFormat>> = {
  [mediaTypes.json]: 'envelope',
  [mediaTypes.ndjson]: 'ndjson',
  [mediaTypes.framedNdjson]: 'framed',
  'application/jsonl': 'ndjson',
  'application/jsonl; marco=1': 'framed',
};
/** A type with parameters of somebody else's (`charset`, `odata.metadata`) is that type. */
const FOREIGN_PARAMETERS = /;(?!\s*(?:q|marco)\s*=)[^;,="]+=\s*("(\\.|[^"\\])*"|[^;,]*)/gi;

/**
 * Chooses the format that `Accept` leads to.
 * @throws {SyncError} NO_ACEPTABLE
 */
export function chooseFormat(accept: string | undefined): DownloadFormat {
  const known = accept?.replace(FOREIGN_PARAMETERS, '');
  const [type] = new Negotiator({ headers: { accept: known } }).mediaTypes(Object.keys(formats));
  if (type !== undefined) return formats[type]!;
  throw new SyncError('NO_ACEPTABLE', `No se puede responder como «${(accept ?? '').slice(0, 100)}».`);
}

/** Chooses the first of `encodings`, the best first, that a client takes no less gladly than an answer as it is. */
export function chooseEncoding<E extends string>(accepted: string | undefined, encodings: readonly E[]): E | undefined {
  const negotiator = new Negotiator({ headers: { 'accept-encoding': accepted } });
  const ranked = negotiator.encodings([...encodings, 'identity']);
  const plain = ranked.indexOf('identity');
  const better = plain < 0 ? ranked : ranked.slice(0, plain);
  return encodings.find((encoding) => better.includes(encoding));
}
