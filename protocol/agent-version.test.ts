import { expect, test } from 'vitest';
import { agentVersionIn, isOlder } from './agent-version.ts';

test.each([
  ['ax-sync-client/1.2.0', '1.2.0'],
  ['ax-sync-client/1.2.0-beta.1+abc', '1.2.0-beta.1+abc'],
  ['ax-sync-client/2.0.0 (windows)', '2.0.0'],
  [`ax-sync-client/${'1'.repeat(100)}`, '1'.repeat(40)],
  ['ax-sync-client/', '0'],
  ['curl/8.1', undefined],
  ['mi-ax-sync-client/1.0.0', undefined],
  [undefined, undefined],
])('%s asks as version %s', (userAgent, version) => {
  expect(agentVersionIn(userAgent)).toBe(version);
});

test('versions are compared number by number; a pre-release is before its version', () => {
  const older = (versions: string[]) => versions.filter((version) => isOlder(version, '1.10.2'));
  const before = ['0.99.99', '1.9.9', '1.10.1', '1.10.2-beta', '1.10.2-rc.1+abc', '1.10', '1', '0.9', '', 'desarrollo'];
  expect(older(before)).toEqual(before);
  expect(older(['1.10.2', '1.10.2+abc', '1.10.2+con-guion', '1.10.3-beta', '1.11.0', '2.0.0', '10.0'])).toEqual([]);
});
