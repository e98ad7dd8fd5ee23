import type { Messages } from './message.ts';

/** What goes wrong on this machine: files, passwords, the command line, the scheduler, what the configuration asks for. */
export const agentMessages = {
  // The command line.
  USO: { kind: 'configuracion', message: '{motivo}', action: 'Mire ax-sync-client --help.' },
  OPCION_INVALIDA: {
    kind: 'configuracion',
    message: '{opcion} debe ser {regla}.',
    action: 'Corrija la opción y repita.',
  },
  CERTIFICADO_ILEGIBLE: {
    kind: 'configuracion',
    message: '{opcion}: {archivo} no se puede usar como certificado: {motivo}.',
    action: 'Indique un archivo PEM, que empieza por -----BEGIN CERTIFICATE-----.',
  },
  URL_INVALIDA: {
    kind: 'configuracion',
    message: '--url «{url}» no es una dirección HTTP.',
    action: 'Escríbala entera, por ejemplo --url https://backend.miempresa.com.',
  },
  SERVIDOR_SQL_INVALIDO: {
    kind: 'configuracion',
    message: 'SQL Server: {motivo}.',
    action:
      'Escriba SERVIDOR, SERVIDOR\\INSTANCIA o SERVIDOR,PUERTO, y como usuario el de SQL Server o DOMINIO\\usuario: en el ' +
      'backend (sqlServerHost, sqlServerPort, sqlServerUser) o en init (--sql-host, --sql-port, --sql-user).',
  },
  URL_SIN_CIFRAR: {
    kind: 'configuracion',
    message: '--url {url} no es https: la clave y los datos viajarían sin cifrar. No se ha enviado nada.',
    action: 'Use https, con --ca si la autoridad es propia. Para aceptar el riesgo: --permitir-http.',
  },
  INTERVALO_INVALIDO: {
    kind: 'configuracion',
    message: '{opcion} «{texto}» no es un tiempo entre 1m y 31d.',
    action: 'Escríbalo en minutos, horas o días, por ejemplo {opcion} 5m, {opcion} 2h.',
  },
  NOMBRE_DE_TAREA_INVALIDO: {
    kind: 'configuracion',
    message: '--nombre «{nombre}» no sirve como nombre de tarea.',
    action: 'Use letras sin acento, cifras, espacios, puntos y guiones; 100 como mucho.',
  },
  TABLA_NO_CONFIGURADA: {
    kind: 'configuracion',
    message: 'No hay tabla «{tablas}» que sincronizar.',
    action: 'Corrija --tabla. Las que hay: {hay}.',
  },
  // The install folder and its password.
  CONTRASENA_AUSENTE: {
    kind: 'configuracion',
    message: 'Falta la contraseña que abre sync-config.enc (variable de entorno SYNC_CONFIG_PASSWORD).',
    action:
      'Defínala antes de ejecutar (set SYNC_CONFIG_PASSWORD=…) o como variable del sistema; o nombre en ' +
      'SYNC_CONFIG_PASSWORD_FILE un archivo con ella; o ejecute init --dpapi, que la guarda protegida por Windows.',
  },
  ARCHIVO_DE_CONTRASENA: {
    kind: 'configuracion',
    message: 'No se puede usar el archivo de la contraseña local, {archivo}: {motivo}.',
    action: 'Revise SYNC_CONFIG_PASSWORD_FILE y los permisos del archivo.',
  },
  CONTRASENA_DEBIL: {
    kind: 'configuracion',
    message:
      'La contraseña ({origen}) se adivina pronto: debe tener {minimo} caracteres o más, y {distintos} de ellos distintos.',
    action: 'Elija otra, por ejemplo cuatro palabras al azar. No se ha escrito nada.',
  },
  CONTRASENA_DISTINTA: {
    kind: 'configuracion',
    message: '{archivo} no se abre con esta SYNC_CONFIG_PASSWORD: la contraseña es otra, o el archivo está dañado.',
    action: 'Use la contraseña con la que se ejecutó init; si se perdió, ejecute init de nuevo.',
  },
  SIN_INICIALIZAR: {
    kind: 'configuracion',
    message: 'No existe {archivo}: el agente no está inicializado en esta carpeta.',
    action: 'Ejecute init --url … --tenant … --key …, o indique la carpeta de instalación con --carpeta.',
  },
  CONFIG_LOCAL_ILEGIBLE: {
    kind: 'configuracion',
    message: '{que} {archivo}.',
    action: 'Ejecute init de nuevo para volver a crearlo.',
  },
  ARCHIVO_MAS_NUEVO: {
    kind: 'antiguo',
    message:
      '{archivo} es de un agente más nuevo, {autor}; este es la versión {version}. No se ha cambiado ni borrado nada.',
    action: 'Instale otra vez {otra} del agente, o una posterior.',
  },
  CONFIG_LOCAL_NO_ESCRITA: {
    kind: 'configuracion',
    message: 'No se puede escribir {archivo}: {motivo}.',
    action: 'Revise que la carpeta exista y que el usuario de la tarea tenga permiso de escritura.',
  },
  CARPETA_OCUPADA: {
    kind: 'ocupado',
    message: 'Ya hay una sincronización en marcha en esta carpeta ({quien}).',
    action: 'Espere a que termine; la próxima ejecución programada seguirá donde quedó.',
  },
  CERROJO_NO_CREADO: {
    kind: 'configuracion',
    message: 'No se puede crear {archivo}: {motivo}.',
    action: 'Revise que la carpeta exista, que quede espacio y que el usuario de la tarea tenga permiso de escritura.',
  },
  CARPETA_NO_ESCRIBIBLE: {
    kind: 'configuracion',
    message: 'No se puede escribir en {carpeta}: {motivo}.',
    action: 'Dé permiso de escritura al usuario de la tarea programada.',
  },
  POCO_DISCO: { kind: 'error', message: 'Quedan {libres} libres.', action: 'Libere espacio.' },
  DISCO_LLENO: {
    kind: 'error',
    message: 'No se puede escribir en {carpeta}: no queda espacio en el disco.',
    action: 'Libere espacio o baje spoolMaxMb.',
  },
  SPOOL_NO_ESCRIBIBLE: {
    kind: 'error',
    message: 'No se puede escribir en {carpeta}: {motivo}.',
    action: 'Revise la carpeta y sus permisos.',
  },
  DPAPI_SOLO_WINDOWS: {
    kind: 'configuracion',
    message: 'DPAPI solo existe en Windows.',
    action: 'Use SYNC_CONFIG_PASSWORD o SYNC_CONFIG_PASSWORD_FILE.',
  },
  DPAPI_FALLO: {
    kind: 'configuracion',
    message: 'Windows (DPAPI) no protege o no abre la contraseña local: {motivo}.',
    action: 'Si la carpeta viene de otro equipo, ejecute init de nuevo en este.',
  },
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
  // The Task Scheduler, systemd.
  TAREA_AUSENTE: {
    kind: 'configuracion',
    message: 'No hay ninguna tarea «{nombre}».',
    action: 'Créela con schedule install --cada 5m, o indique su nombre con --nombre.',
  },
  TAREA_AJENA: {
    kind: 'configuracion',
    message: 'Ya hay una tarea «{nombre}», y trabaja en {carpeta}.',
    action: 'Elija otro nombre con --nombre, o quite aquella con schedule remove.',
  },
  CUENTA_SOLO_WINDOWS: {
    kind: 'configuracion',
    message: '--cuenta es de Windows: en Linux la tarea corre como el dueño de sync-config.enc.',
    action: 'Cámbielo con chown -R CUENTA {carpeta}.',
  },
  CUENTA_NO_ADMITIDA: {
    kind: 'configuracion',
    message: 'La cuenta «{cuenta}» no se admite: icacls falló (código {codigo}): {salida}',
    action: 'Compruebe que exista esa cuenta (--cuenta), y ejecútelo en una consola abierta como administrador.',
  },
  PROGRAMADOR_FALLO: {
    kind: 'configuracion',
    message: '{orden} falló (código {codigo}): {salida}',
    action: 'Ejecútelo en una consola abierta como administrador; si la tarea tiene otro nombre, indique --nombre.',
  },
  SYSTEMD_FALLO: {
    kind: 'configuracion',
    message: '{orden} falló (código {codigo}): {salida}',
    action: 'Ejecútelo como root (sudo), en un sistema con systemd.',
  },
  UNIDADES_NO_ESCRITAS: {
    kind: 'configuracion',
    message: 'No se puede escribir en {carpeta}: {motivo}.',
    action: 'Ejecútelo como root (sudo), en un sistema con systemd.',
  },
  PROGRAMA_AUSENTE: {
    kind: 'error',
    message: 'No se pudo ejecutar {programa}: {motivo}.',
    action: 'Compruebe que exista.',
  },
  // Any command.
  INTERRUMPIDO: {
    kind: 'interrumpido',
    message: 'Interrumpido antes de terminar.',
    action: 'La próxima ejecución sigue desde la última marca confirmada.',
  },
  INESPERADO: {
    kind: 'error',
    message: 'Error inesperado: {motivo}',
    action: 'Si se repite, envíe logs/sync-error.log al administrador.',
  },
} as const satisfies Messages;
