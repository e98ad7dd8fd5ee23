import Type from 'typebox';
import { field, schemasOf } from './field.ts';
import { Strict } from './values.ts';

/** Of another SQL Server database of the tenant. Without a password the agent has to have its own. */
export const connectionFields = {
  host: field(Type.String({ minLength: 1, maxLength: 255 }), {
    english: 'server',
    description:
      'el servidor: `SERVIDOR`, `SERVIDOR,51433` o `SERVIDOR\\INSTANCIA`; véase «Qué SQL Server y qué usuario»',
    touches: { server: true },
  }),
  port: field(Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })), {
    english: 'port',
    description: 'su puerto. Por omisión, 1433',
    touches: { server: true },
  }),
  database: field(Type.String({ minLength: 1, maxLength: 128 }), {
    english: 'database',
    description: 'la base de datos',
    touches: { server: true },
  }),
  user: field(Type.String({ minLength: 1, maxLength: 128 }), {
    english: 'login',
    description: 'el usuario de SQL Server, o `DOMINIO\\usuario`',
    touches: { server: true },
  }),
  password: field(Type.Optional(Type.String({ minLength: 1, maxLength: 4096 })), {
    english: 'password',
    description: 'su contraseña; se guarda y viaja sellada. Sin ella, el agente ha de tener la suya (`connection set`)',
    touches: { secrecy: true },
  }),
};

export const connectionSchemas = schemasOf(connectionFields);

/** `sqlServerConexiones`: by name, as `findConnectionProblems` checks it. */
export const ConexionesSchema = Type.Record(Type.String(), Type.Object(connectionSchemas, Strict));

export type Conexion = Type.Static<typeof ConexionesSchema>[string];
export type Conexiones = Readonly<Record<string, Conexion>>;
