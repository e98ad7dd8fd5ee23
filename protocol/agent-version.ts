import { AGENT_NAME } from './constants.ts';

/** Versions of the agent, as its User-Agent names them: `ax-sync-client/1.2.0`. */

/** What SYNC_MIN_AGENT_VERSION may be: three numbers (semver.org, 2). */
export const VERSION_PATTERN = '^(0|[1-9]\\d{0,5})\\.(0|[1-9]\\d{0,5})\\.(0|[1-9]\\d{0,5})$';

/** The version in a User-Agent, at most 40 characters of it; undefined where it is no agent that asks (`curl/8`). */
export function agentVersionIn(userAgent: string | undefined): string | undefined {
  if (userAgent?.startsWith(`${AGENT_NAME}/`) !== true) return undefined;
  return /^[\w.+-]{1,40}/.exec(userAgent.slice(AGENT_NAME.length + 1))?.[0] ?? '0';
}

/**
 * Whether `version` is before `wanted` (three numbers), by the precedence of semver.org, 11: `1.2.0-beta` is before `1.2.0`.
 * What is no version is before all.
 */
export function isOlder(version: string, wanted: string): boolean {
  const [, ...numbers] = /^(\d{1,6})(?:\.(\d{1,6}))?(?:\.(\d{1,6}))?(?=$|[-+.])/.exec(version) ?? [];
  const own = [0, 1, 2].map((place) => Number(numbers[place] ?? 0));
  const others = wanted.split('.').map(Number);
  const place = own.findIndex((number, index) => number !== others[index]);
  if (place >= 0) return own[place]! < others[place]!;
  return version.split('+', 1)[0]!.includes('-');
}
