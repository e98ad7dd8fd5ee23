import { readFileSync } from 'node:fs';
import { type AddressInfo, connect } from 'node:net';
import { pipeline } from 'node:stream';
import { createServer } from 'node:tls';
import { parseArgs } from 'node:util';

/** TLS in front of a plain server, as a reverse proxy has it. Prints the port. */
const { values } = parseArgs({
  options: { to: { type: 'string' }, key: { type: 'string' }, cert: { type: 'string' } },
});
const pem = { key: readFileSync(values.key!), cert: readFileSync(values.cert!) };
const server = createServer({ ...pem, noDelay: true }, (client) => {
  const upstream = connect({ port: Number(values.to), host: '127.0.0.1', noDelay: true });
  pipeline(client, upstream, client, () => {});
});
server.on('tlsClientError', () => {});
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
