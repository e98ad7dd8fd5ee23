import Type from 'typebox';
import { connectionSchemas } from './connections.ts';
import type { ConfiguracionTablas } from './settings.ts';

export { bajasOf, type Cambios, cambiosOf } from './changes.ts';
export type { Conexion, Conexiones } from './connections.ts';
export type { Esquema, TablaBajada } from './download-table.ts';
export { type Direccion, type EjecutarEn, type Fase, isPhaseAt, type NombreFase } from './phases.ts';
export type { ConfiguracionTablas } from './settings.ts';
export type { TablaSubida } from './upload-table.ts';
export { primaryKeyOf } from './values.ts';

/** The answer of GET /config/:tenantId. */
export const ConfigResponseSchema = Type.Object({
  success: Type.Literal(true),
  id: Type.String(),
  tenantId: Type.String(),
  sqlServerHost: Type.String(),
  sqlServerPort: Type.Integer(),
  sqlServerDatabase: Type.String(),
  sqlServerUser: Type.String(),
  sqlServerPassword: Type.String(),
  /** Missing where there are none, and from servers of an earlier version. */
  sqlServerConexiones: Type.Optional(Type.Record(Type.String(), Type.Object(connectionSchemas))),
  configuracionTablas: Type.Unknown(),
  version: Type.Integer(),
  ultimaModificacion: Type.String(),
});

export type ConfigResponse = Omit<Type.Static<typeof ConfigResponseSchema>, 'configuracionTablas'> & {
  configuracionTablas: ConfiguracionTablas;
};
