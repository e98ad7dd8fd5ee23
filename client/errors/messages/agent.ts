import type { Messages } from './message.ts';

/** What goes wrong on this machine: the command line, the install folder, the scheduler. */
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
