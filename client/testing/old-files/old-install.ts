import { createServer, request as requestOf } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What the install folders beside this file were made with. */
export const oldInstall = {
  /** Watermarks and spool belong to an address, so theirs cannot be that of a test's server. */
  url: 'http://backend.example',
  tenant: 'acme-001',
  password: 'Contraseña de la primera versión',
  transferPassword: 'Contraseña de traslado',
  tables: {
    trozoKb: 64,
    tablasSubida: [
      {
        nombre: 'vista_proveedores',
        incremental: true,
        process: { query: 'SELECT codigo, nombre FROM proveedores WHERE cambio > @ultimaSync OR @ultimaSync IS NULL' },
      },
      { nombre: 'vista_articulos', process: { query: 'SELECT codigo, nombre FROM articulos' } },
      {
        nombre: 'vista_movimientos',
        primaryKey: 'codigo',
        particion: { columna: 'codigo', filas: 200 },
        process: { query: 'SELECT codigo, nombre FROM movimientos' },
      },
    ],
  },
} as const;

export interface NamedBackend {
  /** The server that answers. */
  target: string;
  /** A request like that (`POST /api/sync/…`) goes nowhere, and its connection is destroyed. */
  refuse: RegExp | undefined;
  /** Requests like these are answered by another server. */
  divert: { requests: RegExp; target: string } | undefined;
  close(): Promise<void>;
}

/**
 * Starts a proxy that has `oldInstall.url` answered by the server at `target`. It is named in the environment, which
 * the agent reads once: start it before anything else.
 */
export async function startNamedBackend(): Promise<NamedBackend> {
  const server = createServer((incoming, answer) => {
    const { pathname, search } = new URL(incoming.url!);
    const { method = 'GET', headers } = incoming;
    const line = `${method} ${pathname}`;
    if (proxy.refuse?.test(line) === true) return void incoming.destroy();
    const target = proxy.divert?.requests.test(line) === true ? proxy.divert.target : proxy.target;
    const onward = requestOf(`${target}${pathname}${search}`, { method, headers }, (response) => {
      answer.writeHead(response.statusCode!, response.headers);
      response.pipe(answer);
    });
    onward.on('error', () => answer.destroy());
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  process.env.HTTP_PROXY = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  process.env.NO_PROXY = '127.0.0.1';
  const proxy: NamedBackend = {
    target: '',
    refuse: undefined,
    divert: undefined,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}

/** The tables at SQL Server that `oldInstall.tables` reads: 2 providers, 1000 articles, 1000 movements. */
export const oldTables = `
  CREATE TABLE digitos (n int NOT NULL);
  INSERT INTO digitos (n) VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
  CREATE TABLE proveedores (codigo int NOT NULL PRIMARY KEY, nombre nvarchar(400) NOT NULL, cambio datetime NOT NULL);
  INSERT INTO proveedores VALUES (1, N'Ñandú Gráfica', '2024-01-01'), (2, N'Acme', '2024-01-01');
  CREATE TABLE articulos (codigo int NOT NULL PRIMARY KEY, nombre nvarchar(400) NOT NULL);
  CREATE TABLE movimientos (codigo int NOT NULL PRIMARY KEY, nombre nvarchar(400) NOT NULL);`;
export const oldRows = (table: string) => `
  INSERT INTO ${table} (codigo, nombre) SELECT a.n * 100 + b.n * 10 + c.n, N'${'ñ'.repeat(200)}'
  FROM digitos AS a CROSS JOIN digitos AS b CROSS JOIN digitos AS c`;
