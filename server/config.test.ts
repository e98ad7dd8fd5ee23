import { expect, test } from 'vitest';
import { ConfigError, loadConfig } from './config.ts';

const DATABASE_URL = 'postgres://u:secreto@localhost/x';

test('only DATABASE_URL is needed; what is read is frozen', () => {
  const config = loadConfig({ DATABASE_URL, HOME: '/root', PORT: '' });
  expect(config).toMatchObject({ DATABASE_URL, PORT: 3000, HOST: '0.0.0.0', TRUST_PROXY: false });
  expect(Object.isFrozen(config)).toBe(true);
  expect(config).not.toHaveProperty('HOME');
});

test('text becomes the type of its field', () => {
  expect(loadConfig({ DATABASE_URL, PORT: '8080', TRUST_PROXY: 'true' })).toMatchObject({
    PORT: 8080,
    TRUST_PROXY: true,
  });
});

test.each([
  [{}, /DATABASE_URL: falta; es obligatorio/],
  [{ DATABASE_URL, PORT: '70000' }, /PORT: «70000» no vale: debe ser un número entero desde 0 hasta 65535/],
  [{ DATABASE_URL, PORT: '80.5' }, /PORT: «80\.5»/],
  [{ DATABASE_URL, LOG_LEVEL: 'mucho' }, /LOG_LEVEL: «mucho» no vale: debe ser uno de fatal, error/],
  [{ DATABASE_URL, SYNC_MIN_AGENT_VERSION: '1.2' }, /SYNC_MIN_AGENT_VERSION: «1\.2» no vale: .* tres números/],
  [{ DATABASE_URL, TRUST_PROXY: 'quizá' }, /TRUST_PROXY: «quizá» no vale: debe ser true o false/],
])('%j is refused by field, value and rule', (env, message) => {
  expect(() => loadConfig(env)).toThrow(ConfigError);
  expect(() => loadConfig(env)).toThrow(message);
});

test('every fault is named, and a password never', () => {
  const env = { DATABASE_URL: 'mysql://u:secreto@h/x', PORT: 'x', HOST: '' };
  expect(() => loadConfig(env)).toThrow(/^DATABASE_URL: \(oculto\) no vale.*\nPORT: /);
  expect(() => loadConfig(env)).not.toThrow(/secreto/);
});
