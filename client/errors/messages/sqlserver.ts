import type { Messages } from './message.ts';

/** What goes wrong with SQL Server. Its own text is in `{texto}`; `sqlserver/errors.ts` says which number is which code. */
export const sqlServerMessages = {
  CONEXION: {
    kind: 'sqlserver',
    retryable: true,
    message: 'No hay conexión con SQL Server ({lugar}): {texto}',
    action: 'Compruebe servidor, puerto y cortafuegos, que el servicio esté en marcha y que TCP/IP esté habilitado.',
  },
  CIFRADO: {
    kind: 'sqlserver',
    message: 'No se pudo cifrar la conexión con SQL Server ({lugar}): {texto}',
    action: 'Instale en el servidor un certificado de confianza, o acepte el suyo (--sql-confiar-certificado).',
  },
  CREDENCIALES: {
    kind: 'credenciales',
    message: 'SQL Server ({lugar}) rechazó la entrada: {texto}',
    action:
      'Revise el usuario y la contraseña de SQL Server, y que no esté deshabilitado, bloqueado ni con la contraseña caducada. ' +
      'Si es DOMINIO\\usuario, son los de Windows: el servidor ha de confiar en ese dominio y aceptar NTLM.',
  },
  INSTANCIA_SIN_RESPUESTA: {
    kind: 'sqlserver',
    retryable: true,
    message: 'SQL Server Browser no responde en {servidor} (UDP 1434): no se sabe en qué puerto está «{instancia}».',
    action:
      'Ponga en marcha el servicio SQL Server Browser y abra UDP 1434, o indique el puerto en lugar de la instancia: ' +
      '{servidor},puerto.',
  },
  INSTANCIA_DESCONOCIDA: {
    kind: 'sqlserver',
    retryable: true,
    message: 'En {servidor} no hay ninguna instancia «{instancia}» en marcha; las que hay: {hay}.',
    action: 'Corrija el nombre de la instancia, o inicie su servicio.',
  },
  INSTANCIA_SIN_TCP: {
    kind: 'sqlserver',
    message: 'La instancia «{instancia}» de {servidor} no atiende por TCP.',
    action:
      'Habilite TCP/IP en el Administrador de configuración de SQL Server y reinicie el servicio de la instancia.',
  },
  BASE_DE_DATOS: {
    kind: 'sqlserver',
    message: 'SQL Server ({lugar}) no abre la base de datos: {texto}',
    action: 'Compruebe el nombre de la base de datos y que el usuario tenga acceso a ella.',
  },
  PERMISOS: {
    kind: 'sqlserver',
    message: 'SQL Server ({lugar}) niega un permiso: {texto}',
    action: 'Dé ese permiso al usuario de SQL Server del agente.',
  },
  PERMISOS_AUSENTES: {
    kind: 'sqlserver',
    message: 'Al usuario de SQL Server le falta permiso en {objeto}: {permisos}.',
    action: 'Déselo: {orden}.',
  },
  CONSULTA: {
    kind: 'sqlserver',
    message: 'SQL Server ({lugar}) no admite el SQL: {texto}',
    action: 'Corrija el SQL en la configuración de la tabla: nombres, esquema (dbo) y base de datos.',
  },
  RESTRICCION: {
    kind: 'sqlserver',
    message: 'Una restricción de SQL Server ({lugar}) rechaza filas: {texto}',
    action: 'Revise los datos o la restricción de la tabla.',
  },
  BLOQUEO_1205: {
    kind: 'sqlserver',
    retryable: true,
    message: 'SQL Server ({lugar}) deshizo la operación para romper un bloqueo: {texto}',
    action: 'Se puede reintentar; la próxima ejecución lo hace.',
  },
  BLOQUEO_SIN_REPETIR: {
    kind: 'sqlserver',
    message:
      '{texto} SQL Server deshizo solo la última transacción de ese SQL, y lo anterior puede estar hecho: no se repite.',
    action:
      'Revise qué quedó hecho. La próxima ejecución ejecuta otra vez el SQL entero: escríbalo de modo que se pueda repetir.',
  },
  TIEMPO: {
    kind: 'sqlserver',
    retryable: true,
    message: 'SQL Server ({lugar}) no respondió a tiempo: {texto}',
    action: 'Compruebe la red y si otra sesión bloquea los datos; la próxima ejecución lo intenta de nuevo.',
  },
  VALOR: {
    kind: 'sqlserver',
    message: 'SQL Server ({lugar}) no admite un valor: {texto}',
    action: 'Revise el tipo de la columna y los datos.',
  },
  RECURSOS: {
    kind: 'sqlserver',
    retryable: true,
    message: 'A SQL Server ({lugar}) le faltan recursos: {texto}',
    action: 'Libere espacio, memoria o procesos en SQL Server; la próxima ejecución lo intenta de nuevo.',
  },
  VALOR_NO_CABE: {
    kind: 'sqlserver',
    message: '{lugar}: {regla}.',
    action:
      'Corrija el dato, o el tipo de la columna en schema.columns o en la tabla de destino. Si post_process lo convierte a ' +
      'propósito, dé a la columna otro nombre en la consulta.',
  },
  VALOR_INEXACTO: {
    kind: 'sqlserver',
    message: 'Fila {fila}, columna «{columna}»: este lector no puede leer el valor con exactitud.',
    action: 'Conviértalo a texto en la consulta, por ejemplo CONVERT(varchar(50), columna, 126).',
  },
  FILA_GRANDE: {
    kind: 'sqlserver',
    message: '{lugar}: la fila pasa del máximo de {limite} MiB.',
    action: 'Excluya la columna grande de la consulta.',
  },
  CARGA_INCOMPLETA: {
    kind: 'sqlserver',
    retryable: true,
    message: 'Se enviaron {enviadas} filas a SQL Server y dice haber cargado {cargadas}.',
    action: 'Nada se ha aplicado; la próxima ejecución lo intenta de nuevo.',
  },
  RESULTADO_AUSENTE: {
    kind: 'sqlserver',
    message: 'La consulta no devuelve filas.',
    action: 'Haga que process.query acabe en un SELECT.',
  },
  RESULTADO_REPETIDO: {
    kind: 'sqlserver',
    message: 'La consulta devuelve más de un conjunto de filas.',
    action: 'Deje uno solo (los demás pasos van en pre_process).',
  },
  RELOJ_ILEGIBLE: {
    kind: 'sqlserver',
    message: 'La hora que da SQL Server, «{hora}», no se puede guardar y volver a leer. No se ha cambiado nada.',
    action: 'Revise el reloj del equipo de SQL Server: su fecha tiene que estar entre los años 1753 y 9999.',
  },
  RESULTADO_GRANDE: {
    kind: 'sqlserver',
    message: 'La consulta devuelve más de {filas} filas y se esperaban pocas.',
    action: 'Corrija el SQL.',
  },
  COLUMNA_SIN_NOMBRE: {
    kind: 'sqlserver',
    message: 'La columna {numero} de la consulta no tiene nombre.',
    action: 'Póngale un alias (AS …).',
  },
  COLUMNA_REPETIDA: {
    kind: 'sqlserver',
    message: 'La consulta devuelve dos columnas «{columna}».',
    action: 'Dé a una otro alias (AS …).',
  },
  PARTICION_COLUMNA: {
    kind: 'sqlserver',
    message: 'No se puede leer por rangos (particion): {motivo}.',
    action: '{remedio}, o elija otra columna en particion.columna.',
  },
  PARTICION_CONSULTA: {
    kind: 'sqlserver',
    message: 'La consulta no se puede leer por rangos: {regla}. SQL Server dice: {texto}',
    action: 'Cambie process.query, o quite particion.',
  },
  PARTICION_VALOR: {
    kind: 'sqlserver',
    message:
      'Columna «{columna}», en la última fila de un rango de particion: el valor {motivo} y no sirve para seguir detrás de él.',
    action: 'Corrija esa fila o elija otra columna en particion.columna.',
  },
  PARTICION_PERMISO: {
    kind: 'sqlserver',
    message: 'El usuario de SQL Server no ve la tabla {tabla} de particion, y no se sabe si {columna} es única.',
    action: 'Dele permiso: GRANT VIEW DEFINITION ON {tabla} TO su_usuario.',
  },
  COLUMNA_VERSION: {
    kind: 'sqlserver',
    message: 'La columna «{columna}» de cambios: rowversion {motivo}, y tiene que ser rowversion (o binary(8)).',
    action: 'Ponga en columna la columna rowversion de la tabla, y esa columna en el SELECT.',
  },
  SEGUIMIENTO_AUSENTE: {
    kind: 'sqlserver',
    message:
      'La tabla {tabla} de seguimiento no tiene Change Tracking, o el usuario de SQL Server no tiene permiso para verlo.',
    action:
      'Actívelo (ALTER DATABASE CURRENT SET CHANGE_TRACKING = ON (CHANGE_RETENTION = 7 DAYS, AUTO_CLEANUP = ON); ALTER TABLE {tabla} ENABLE CHANGE_TRACKING) y dé permiso: GRANT VIEW CHANGE TRACKING ON {tabla} TO su_usuario.',
  },
  SEGUIMIENTO_CLAVE: {
    kind: 'sqlserver',
    message: 'La tabla «{tabla}» de seguimiento {motivo}.',
    action: 'Corrija seguimiento (tabla, clave) o la consulta; «Qué cambios elegir», en configuracion.md, dice cómo.',
  },
  CONSULTA_ENVUELTA: {
    kind: 'sqlserver',
    message:
      'La consulta no se puede filtrar por sus cambios: tiene que ser un solo SELECT, sin ORDER BY, sin WITH (CTE) ni tablas #temporales, y con un nombre distinto en cada columna. SQL Server dice: {texto}',
    action: 'Cambie process.query (una vista sirve), o elija otro cambios.',
  },
} as const satisfies Messages;
