import { agentError } from '../errors/agent-error.ts';

/** Which proxy a request goes through: what environment and Windows say of it, and what passes by it. */

/** As it stands in the environment or in Windows; nothing of it is checked yet. */
export interface ProxySettings {
  /** Where it is from, for people: `HTTPS_PROXY`, `Windows (usuario)`. */
  origen: string;
  /** `http://host:port`, or without the scheme; for requests of each scheme. */
  https: string | undefined;
  http: string | undefined;
  /** Hosts that are reached directly: `host`, `.domain`, `*.domain`, `10.*`, `host:port`, `<local>`, `*`. */
  excepciones: readonly string[];
}

export interface HttpProxy {
  /** With user and password, where they are given: a secret. */
  url: string;
  /** `http://proxy.example:8080 (HTTPS_PROXY)`, without them. */
  name: string;
}

/**
 * Chooses the proxy on the way to `target`.
 * @throws {AgentError} `configuracion` where it is not an HTTP proxy
 */
export function chooseProxy(target: string, settings: ProxySettings | undefined): HttpProxy | undefined {
  const to = new URL(target);
  const given = to.protocol === 'https:' ? settings?.https : settings?.http;
  if (settings === undefined || given === undefined || given === '') return undefined;
  if (settings.excepciones.some((rule) => matches(rule.trim().toLowerCase(), to))) return undefined;
  const text = given.includes('://') ? given : `http://${given}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    // Not what was given: it may hold a password.
    throw agentError('PROXY_INVALIDO', { origen: settings.origen });
  }
  return { url: url.href, name: `${url.protocol}//${url.host} (${settings.origen})` };
}

function matches(rule: string, { hostname, port, protocol }: URL): boolean {
  if (rule === '') return false;
  if (rule === '<local>') return !hostname.includes('.');
  const [, host = '', rulePort] = /^(.*?)(?::(\d+))?$/.exec(rule)!;
  const actualPort = port !== '' ? port : protocol === 'https:' ? '443' : '80';
  if (rulePort !== undefined && rulePort !== actualPort) return false;
  // `example.com` stands for its subdomains too, as curl has it.
  const pattern = host
    .replace(/^\*?\./, '')
    .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*');
  return new RegExp(`^(.*\\.)?${pattern}$`).test(hostname);
}
