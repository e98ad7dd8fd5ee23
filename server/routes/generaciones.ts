import { cambiosOf, type TablaSubida } from '../../protocol/tenant-config/config.ts';
import type { Context } from '../context.ts';
import { inTransaction } from '../postgres/pool.ts';
import { checkGenerations } from '../rows/commits.ts';
import { checkLedgers } from '../rows/ledgers.ts';
import { countWaitingChanges } from '../rows/schema-approval.ts';
import { readTables, tipoCampoOf } from '../tenants/configurations.ts';
import { agentOf } from './bodies.ts';
import type { Handlers } from './register.ts';

/** Whether an agent's marks and ledgers stand on what the database has. Once a run, before its tables. */
export const generacionesHandlers = ({ database }: Context) =>
  ({
    async checkGenerations(request) {
      const { tenant, body } = request;
      const { tenantId } = tenant;
      const configured = new Map((readTables(tenant).tablasSubida ?? []).map((tabla) => [tabla.nombre, tabla]));
      const asked = Object.entries(body.tablas);
      const strict = asked.filter(([tabla]) => standsOnLedger(configured.get(tabla)));
      const others = asked.filter(([tabla]) => !standsOnLedger(configured.get(tabla)));
      const adoptable = new Map([...configured].map(([nombre, tabla]) => [nombre, { tipoCampo: tipoCampoOf(tabla) }]));
      const ledgers = strict.flatMap(([tabla, base]) =>
        base === null ? [] : [{ tabla, base, tipoCampo: adoptable.get(tabla)!.tipoCampo }],
      );
      return database.withTenantConnection(tenantId, (connection) =>
        inTransaction(connection, async () => ({
          success: true as const,
          tablas: {
            ...Object.fromEntries(strict.map(([tabla]) => [tabla, null])),
            ...(await checkGenerations(connection, tenantId, agentOf(request), Object.fromEntries(others), adoptable)),
            ...(await checkLedgers(connection, tenantId, ledgers)),
          },
          columnasPendientes: await countWaitingChanges(connection, tenantId, Object.keys(body.tablas)),
        })),
      );
    },
  }) satisfies Partial<Handlers>;

/** A ledger is true or it is not: nothing is adopted for it. */
function standsOnLedger(tabla: TablaSubida | undefined): boolean {
  return tabla !== undefined && cambiosOf(tabla) === 'huellas';
}
