import { addAbortListener } from 'node:events';
import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { AgentError, agentError } from '../errors/agent-error.ts';
import type { HttpProxy } from '../http/proxy.ts';
import type { Finding } from './checklist.ts';

/** The certificate that the backend shows, on the way that requests take. */

const HANDSHAKE_MS = 15_000;
const SOON_DAYS = 21;

/**
 * Checks the backend's certificate. `ca`: PEM, as in HttpRequest.
 * @throws {AgentError} for a certificate that is not accepted, or none
 */
export async function checkTls(
  { url, ca }: { url: string; ca?: string | undefined },
  proxy: HttpProxy | undefined,
  signal: AbortSignal,
): Promise<Finding<void>> {
  const { hostname, port, protocol } = new URL(url);
  if (protocol !== 'https:') {
    const advice = 'Ponga TLS delante del backend y ejecute init con https://.';
    return { value: undefined, note: 'la dirección no es https: clave y datos viajan sin cifrar', advice };
  }
  const limit = AbortSignal.any([signal, AbortSignal.timeout(HANDSHAKE_MS)]);
  const target = { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port === '' ? 443 : port), ca };
  try {
    const socket = await openTls(target, proxy, limit);
    try {
      return describeCertificate(socket, new Date());
    } finally {
      socket.destroy();
    }
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof AgentError) throw cause;
    const reason = limit.aborted ? `no hay respuesta en ${HANDSHAKE_MS / 1000} s` : (cause as Error).message;
    throw agentError('TLS_FALLO', { servidor: hostname, motivo: reason }, cause);
  }
}

function describeCertificate(socket: TLSSocket, now: Date): Finding<void> {
  const { subject, issuer, valid_to: until } = socket.getPeerCertificate();
  const names = `certificado de ${String(subject?.CN)}, de ${String(issuer?.O ?? issuer?.CN)}, hasta ${until}`;
  if (!socket.authorized) {
    throw agentError('CERTIFICADO_NO_ACEPTADO', { certificado: names, motivo: String(socket.authorizationError) });
  }
  const days = Math.floor((Date.parse(until) - now.getTime()) / 86_400_000);
  const note = `${socket.getProtocol()}, ${names}`;
  return days > SOON_DAYS
    ? { value: undefined, note }
    : { value: undefined, note, advice: `Caduca en ${days} días: renuévelo.` };
}

interface Target {
  host: string;
  port: number;
  ca?: string | undefined;
}

async function openTls(target: Target, proxy: HttpProxy | undefined, signal: AbortSignal): Promise<TLSSocket> {
  const socket = proxy === undefined ? await openSocket(target, signal) : await openTunnel(target, proxy, signal);
  // A certificate that is not accepted is to be described, not just refused; nothing is sent over it.
  const name = isIP(target.host) === 0 ? { servername: target.host } : {};
  const trust = target.ca === undefined ? {} : { ca: target.ca };
  const tls = connectTls({ socket, host: target.host, ...name, ...trust, rejectUnauthorized: false });
  await settled(tls, 'secureConnect', signal);
  return tls;
}

async function openSocket({ host, port }: Target, signal: AbortSignal): Promise<Socket> {
  const socket = connect({ host, port });
  await settled(socket, 'connect', signal);
  return socket;
}

async function openTunnel({ host, port }: Target, proxy: HttpProxy, signal: AbortSignal): Promise<Socket> {
  const { hostname, port: proxyPort, protocol, username, password } = new URL(proxy.url);
  if (protocol !== 'http:') throw agentError('PROXY_HTTPS', { proxy: proxy.name });
  const socket = await openSocket({ host: hostname, port: Number(proxyPort === '' ? 80 : proxyPort) }, signal);
  const login = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64');
  const authorization = username === '' ? '' : `Proxy-Authorization: Basic ${login}\r\n`;
  socket.write(`CONNECT ${host}:${port} HTTP/1.1\r\nHost: ${host}:${port}\r\n${authorization}\r\n`);
  const status = await readStatus(socket, signal);
  if (status === 200) return socket;
  socket.destroy();
  throw status === 407
    ? agentError('PROXY_PIDE_USUARIO', { url: `${host}:${port}`, proxy: proxy.name })
    : agentError('PROXY_NO_DEJA', { proxy: proxy.name, estado: status, servidor: `${host}:${port}` });
}

/** The status of a proxy's answer, of which nothing else is read: the tunnel begins behind it. */
async function readStatus(socket: Socket, signal: AbortSignal): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  using _ = addAbortListener(signal, () => reject(signal.reason));
  let head = '';
  const onData = (part: Buffer) => {
    head += part.toString('latin1');
    if (!head.includes('\r\n\r\n') && head.length < 16_384) return;
    socket.pause();
    resolve(Number(/^HTTP\/1\.\d (\d{3})/.exec(head)?.[1] ?? 0));
  };
  const onClose = () => reject(new Error('el proxy cerró la conexión'));
  socket.on('data', onData).on('close', onClose);
  try {
    return await promise;
  } finally {
    socket.off('data', onData).off('close', onClose);
  }
}

/** Waits for an event of a socket; destroys it when it fails or `signal` is aborted. */
async function settled(socket: Socket, event: 'connect' | 'secureConnect', signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fail = (error: unknown) => {
    socket.destroy();
    reject(error);
  };
  using _ = addAbortListener(signal, () => fail(signal.reason));
  // It stays: an error after that has nobody else to hear it.
  socket.on('error', fail);
  socket.once(event, () => resolve());
  await promise;
}
