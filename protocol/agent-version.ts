import { coerce, lt, parse } from 'semver';
import { AGENT_NAME } from './constants.ts';

/** Versions of the agent, as its User-Agent names them: `ax-sync-client/1.2.0`. */

/** What SYNC_MIN_AGENT_VERSION may be: three numbers (semver.org, 2). */
export const VERSION_PATTERN = '^(0|[1-9]\\d{0,5})\\.(0|[1-9]\\d{0,5})\\.(0|[1-9]\\d{0,5})$';

/**
 * Returns the version in a User-Agent, at most 40 characters of it; undefined where it is no agent that asks
 * (`curl/8`).
 */
export function agentVersionIn(userAgent: string | undefined): string | undefined {
  if (userAgent?.startsWith(`${AGENT_NAME}/`) !== true) return undefined;
  return /^[\w.+-]{1,40}/.exec(userAgent.slice(AGENT_NAME.length + 1))?.[0] ?? '0';
}

/**
 * Returns whether `version` is before `wanted` (three numbers), by the precedence of semver.org, 11. What is no version
 * is before all.
 */
export function isOlder(version: string, wanted: string): boolean {
  // `1.10` counts as 1.10.0.
  const known = parse(version) ?? (/^\d/.test(version) ? coerce(version, { includePrerelease: true }) : null);
  return known === null || lt(known, wanted);
}
