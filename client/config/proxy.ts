import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { ProxySettings } from '../http/proxy.ts';
import { takeProxyVariables } from './environment.ts';

/**
 * Finds the proxy of this machine: `HTTPS_PROXY` and its kin, else Windows' settings: those of the user that the agent
 * runs as (Internet options), else those of the machine (`netsh winhttp set proxy`). Scripts (PAC) are not followed.
 */
export async function findProxySettings(): Promise<ProxySettings | undefined> {
  const { https, http, all, none } = takeProxyVariables();
  if ((https ?? http ?? all) !== undefined) {
    const excepciones = (none ?? '').split(',');
    const origen = https !== undefined ? 'HTTPS_PROXY' : http !== undefined ? 'HTTP_PROXY' : 'ALL_PROXY';
    return { origen, https: https ?? all, http: http ?? all, excepciones };
  }
  if (process.platform !== 'win32') return undefined;
  return parseUserSettings(await queryRegistry(USER_KEY)) ?? parseMachineSettings(await queryRegistry(MACHINE_KEY));
}

const USER_KEY = ['HKCU\\Software\\Microsoft\\Windows\\CurrentVersion\\Internet Settings'];
const MACHINE_KEY = [
  'HKLM\\SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Internet Settings\\Connections',
  '/v',
  'WinHttpSettings',
];

/** What `reg query` prints; empty where there is no such key. */
async function queryRegistry(key: string[]): Promise<string> {
  try {
    const options = { timeout: 5000, windowsHide: true, maxBuffer: 1024 * 1024 };
    return (await promisify(execFile)('reg', ['query', ...key], options)).stdout;
  } catch {
    return '';
  }
}

/** Returns the Internet options of a user, from the output of `reg query`. */
export function parseUserSettings(output: string): ProxySettings | undefined {
  const values = new Map<string, string>();
  for (const [, name, value] of output.matchAll(/^ {4}(\S+) {4}REG_\w+ {4}(.*?)\r?$/gm)) values.set(name!, value!);
  if (Number(values.get('ProxyEnable') ?? 0) !== 1) return undefined;
  return fromWindows('Windows, usuario', values.get('ProxyServer'), values.get('ProxyOverride'));
}

/**
 * Returns the settings of WinHTTP, from the output of `reg query`: a block of bytes with flags at 8 (2: a proxy), then
 * the length and text of the proxy, and of the exceptions.
 */
export function parseMachineSettings(output: string): ProxySettings | undefined {
  const hex = /WinHttpSettings\s+REG_BINARY\s+([0-9A-F]+)/i.exec(output)?.[1];
  const bytes = Buffer.from(hex ?? '', 'hex');
  if (bytes.length < 20 || (bytes.readUInt32LE(8) & 2) === 0) return undefined;
  const proxyEnd = 16 + bytes.readUInt32LE(12);
  if (bytes.length < proxyEnd + 4) return undefined;
  const bypass = bytes.toString('latin1', proxyEnd + 4, proxyEnd + 4 + bytes.readUInt32LE(proxyEnd));
  return fromWindows('Windows, equipo', bytes.toString('latin1', 16, proxyEnd), bypass);
}

/** `proxy:8080`, or `http=one:80;https=two:81`. */
function fromWindows(origen: string, server = '', override = ''): ProxySettings | undefined {
  const parts = server.split(/[;\s]+/).filter((part) => part !== '');
  const find = (scheme: string) =>
    parts.find((part) => part.startsWith(`${scheme}=`))?.slice(scheme.length + 1) ??
    parts.find((part) => !part.includes('='));
  const [https, http] = [find('https'), find('http')];
  if (https === undefined && http === undefined) return undefined;
  return { origen, https, http, excepciones: override.split(/[;\s]+/) };
}
