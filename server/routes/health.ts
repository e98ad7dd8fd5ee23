import { SyncError } from '../../protocol/errors.ts';
import { openApi } from '../../protocol/openapi.ts';
import type { Context } from '../context.ts';
import { CLEANING_MS } from '../plugins/janitor.ts';
import { makeOperatorCheck } from '../plugins/operator.ts';
import { makeSnapshot } from '../plugins/snapshot.ts';
import { compareMigrations } from '../postgres/migrate.ts';
import type { Connection } from '../postgres/pool.ts';
import { readStaging } from '../rows/staging.ts';
import type { Handlers } from './register.ts';

/** Milliseconds that what PostgreSQL said is good for, and that somebody waits for it: asking more often asks it nothing. */
const DEEP = { goodForMs: 5000, waitMs: 3000 };

/** What is open: whether the server answers, and what its API is. For the administrator also how it stands (`?profundo=1`). */
export const healthHandlers = ({ config, database, meters }: Context) => {
  const assertOperator = makeOperatorCheck(config);
  const look = makeSnapshot({ load: () => database.withConnection(lookAtDatabase), ...DEEP });
  const started = Date.now();
  return {
    async checkHealth(request) {
      if (request.query.profundo !== '1') return { success: true, status: 'ok' };
      assertOperator(request);
      const { value, error } = await look();
      if (value === undefined || error !== undefined) {
        if (error instanceof SyncError) throw error;
        throw new SyncError('BASE_NO_DISPONIBLE', 'PostgreSQL no respondió a tiempo.', { cause: error });
      }
      const { migraciones } = value;
      const limpieza = meters.lastCleaning();
      const avisos = [
        ...migraciones.faltan.map((name) => `falta la migración ${name}: ejecute migrate`),
        ...migraciones.sobran.map((name) => `la base tiene la migración ${name}, de una versión más nueva`),
        ...(Date.now() - (limpieza?.getTime() ?? started) > 3 * CLEANING_MS
          ? ['la limpieza periódica de este proceso no acaba bien desde hace media hora: mire el log']
          : []),
      ];
      return {
        success: true,
        status: avisos.length === 0 ? 'ok' : 'degradado',
        avisos,
        ...value,
        node: process.versions.node,
        conexiones: database.usage(),
        limpieza: limpieza?.toISOString() ?? null,
      };
    },

    async describeApi() {
      return openApi;
    },
  } satisfies Partial<Handlers>;
};

async function lookAtDatabase(connection: Connection) {
  const started = performance.now();
  const { rows } = await connection.query<{ version: string }>(`SELECT current_setting('server_version') AS version`);
  const latenciaMs = Math.round(performance.now() - started);
  const migraciones = await compareMigrations(connection);
  const recibido = await readStaging(connection);
  return { postgres: rows[0]!.version, latenciaMs, migraciones, recibido, calculado: new Date().toISOString() };
}
