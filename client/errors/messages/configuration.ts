import type { Messages } from './message.ts';

/** What goes wrong with what the tenant's configuration asks for, and with its data key. */
export const configurationMessages = {
  // The tenant's configuration.
  TABLAS_INVALIDAS: {
    kind: 'configuracion',
    message: 'La configuración del tenant «{tenant}» en el backend no es válida:\n{campos}',
    action: 'Pida al administrador que corrija esos campos.',
  },
  CLAVE_DUDOSA: {
    kind: 'configuracion',
    message:
      'La consulta de «{tabla}» da «codigo» y además «{columna}», que es su primaryKey: no se sabe cuál es la clave.',
    action:
      'Pida al administrador que ponga primaryKey: "codigo", si esa es la clave, o que dé a la columna «codigo» otro nombre en la consulta.',
  },
  CONEXION_DESCONOCIDA: {
    kind: 'configuracion',
    message: 'La conexión «{nombre}» no está en la configuración del tenant «{tenant}».',
    action: 'Las que hay: {hay}. Pida al administrador que corrija la tabla, o que añada la conexión.',
  },
  CONEXION_SIN_CONTRASENA: {
    kind: 'configuracion',
    message: 'La conexión «{nombre}» no tiene contraseña, ni en el backend ni en este equipo.',
    action: 'Désela aquí con connection set {nombre} --sql-password …, o pida al administrador que la ponga.',
  },
  CONEXION_MAL_NOMBRADA: {
    kind: 'configuracion',
    message: '«{nombre}» no es un nombre de conexión: {regla}.',
    action: 'Use el nombre que tiene en sqlServerConexiones; connection list los muestra.',
  },
  CONEXION_NO_DADA: {
    kind: 'configuracion',
    message: 'En este equipo no hay nada dicho de la conexión «{nombre}».',
    action: 'Mire lo que hay con connection list.',
  },
  CONTRASENA_SQL_AJENA: {
    kind: 'configuracion',
    message: 'La contraseña de {conexion} que envió el backend está sellada para otro agente.',
    action: 'Ejecute init de nuevo.',
  },
  AGENTE_SIN_AUTORIZAR: {
    kind: 'credenciales',
    message: 'El agente {id} está registrado, pero el tenant «{tenant}» ya tiene otro y este no está autorizado.',
    action: 'Pida al administrador: ax-sync-server agent authorize --tenant {tenant} --id {id}; después ejecute test.',
  },
  SQL_SIN_APROBAR: {
    kind: 'configuracion',
    message: '{que} no está aprobado en este equipo y no se ejecuta ({donde}).',
    action: 'Revíselo y apruébelo con ax-sync-client approve.',
  },
  APROBACION_PENDIENTE: {
    kind: 'configuracion',
    message: '{huella}: hay SQL sin aprobar en este equipo:\n{cambios}',
    action: 'Apruébelo con ax-sync-client approve.',
  },
  HUELLA_DISTINTA: {
    kind: 'configuracion',
    message: 'La huella del SQL es {huella}, no {dada}: el SQL cambió desde que se mostró.',
    action: 'Ejecute approve sin --huella, lea lo que muestra y apruebe esa huella. No se ha aprobado nada.',
  },
  DESTINO_SIN_COLUMNAS: {
    kind: 'configuracion',
    message: '{tabla} existe y le faltan las columnas {columnas}.',
    action: 'Añádalas a la tabla, o quítelas de schema.columns, o configure un post_process.',
  },
  COLUMNA_AUSENTE: {
    kind: 'sqlserver',
    message: 'El post_process pide la columna «{columna}», que no está en {lugar}: {texto}',
    action: 'Añádala ahí, o quítela de post_process. No se ha cambiado nada.',
  },
  TIPO_DE_DESTINO: {
    kind: 'configuracion',
    message:
      'La columna «{columna}» de {tabla} es {tipo} en la descarga y {destino} en la tabla: SQL Server haría de ella otra cosa.',
    action: 'Iguale los tipos en schema.columns, en la consulta o en la tabla. No se ha cambiado nada.',
  },
  GUARDA_SIN_EFECTO: {
    kind: 'configuracion',
    message:
      'El post_process de {tabla} quitó o desactivó {bajas} de {total} filas y las confirmó él mismo (COMMIT): no se pudieron retener.',
    action:
      'Revise la tabla de destino, y quite COMMIT y ROLLBACK de post_process: se ejecuta en una transacción del agente.',
  },
  CLAVES_IGUALES: {
    kind: 'configuracion',
    message: 'Dos filas de la descarga tienen la misma clave ({clave}) para {tabla}: «{una}» y «{otra}».',
    action:
      'Deje una sola en el origen o en process.query: la intercalación de la columna de destino dice qué es igual, y muchas no ' +
      'distinguen mayúsculas. No se ha cambiado nada.',
  },
  CLAVE_SIN_COLUMNA: {
    kind: 'configuracion',
    message: 'La primaryKey «{clave}» de {tabla} no está entre las columnas de su schema.',
    action: 'Corrija primaryKey o schema.columns en configuracionTablas.',
  },
  // The tenant's data key and what it encrypts.
  CONTRASENA_DE_TRASLADO_AUSENTE: {
    kind: 'configuracion',
    message: 'Falta la variable de entorno SYNC_DATA_KEY_PASSWORD, que sella el archivo de la clave de datos.',
    action: 'Defínala con la misma contraseña al exportar y al importar.',
  },
  CLAVE_DE_DATOS_AUSENTE: {
    kind: 'configuracion',
    message: 'Este agente no tiene clave de datos.',
    action: 'Créela con data-key create.',
  },
  CLAVE_DE_DATOS_EXISTE: {
    kind: 'configuracion',
    message: 'Este agente ya tiene la clave de datos {id}. No se ha cambiado nada.',
    action: 'Para llevarla a otro agente: data-key export.',
  },
  CLAVE_DE_DATOS_NO_ESCRITA: {
    kind: 'configuracion',
    message: 'No se puede escribir {archivo}: {motivo}.',
    action: 'Elija otro --archivo.',
  },
  CLAVE_DE_DATOS_NO_IMPORTADA: {
    kind: 'configuracion',
    message: 'No se puede importar {archivo}: {motivo}. No se ha cambiado nada.',
    action: 'Use el archivo que escribió data-key export en otro agente de este tenant.',
  },
  CAMPOS_SENSIBLES_SIN_CLAVE: {
    kind: 'configuracion',
    message: '«{tabla}» tiene camposSensibles y este agente no tiene la clave de datos del tenant.',
    action: 'En el primer agente del tenant: ax-sync-client data-key create; en los demás: data-key import.',
  },
  CAMPOS_SENSIBLES_CAMBIADOS: {
    kind: 'configuracion',
    message: 'Según la configuración nueva, «{tabla}» {que}: eso lo decide una persona en este equipo.',
    action: 'Revíselo y apruébelo con ax-sync-client approve; hasta entonces esa tabla no se sincroniza.',
  },
  CAMPO_SENSIBLE_EN_CLARO: {
    kind: 'configuracion',
    message: 'La consulta de «{tabla}», nueva o cambiada, da en claro «{columnas}», que en este equipo es sensible.',
    action: 'Añádala a camposSensibles, o apruebe la consulta aquí con ax-sync-client approve. No se ha enviado nada.',
  },
  CAMPO_SENSIBLE_DE_OTRA_TABLA: {
    kind: 'configuracion',
    message: 'Un valor de la columna sensible «{columna}» se cifró para «{tipoCampo}», y deben ser de «{conocidos}».',
    action: 'Si así debe ser, apruébelo aquí con ax-sync-client approve --origen-nuevo. No se ha cambiado nada.',
  },
  CAMPO_SENSIBLE_ANTIGUO: {
    kind: 'configuracion',
    message: 'Un valor de la columna sensible «{columna}» lo cifró una versión anterior, y ya no quedaba ninguno así.',
    action:
      'Vuelva a subir esas filas; o, si el servidor se restauró de una copia antigua, apruébelo aquí con ' +
      'ax-sync-client approve --origen-nuevo. No se ha cambiado nada.',
  },
  CAMPO_SENSIBLE_AUSENTE: {
    kind: 'configuracion',
    message: 'La consulta de «{tabla}» no da la columna «{columnas}», que está en camposSensibles.',
    action: 'Corrija camposSensibles o la consulta. No se ha enviado nada.',
  },
  CAMPO_SENSIBLE_ILEGIBLE: {
    kind: 'configuracion',
    message: 'Un valor de la columna sensible «{columna}» no se puede descifrar: {motivo}.',
    action: 'Importe la clave de datos del tenant con ax-sync-client data-key import. No se ha cambiado nada.',
  },
} as const satisfies Messages;
