/**
 * The errors of the API: one table. A code is stable; its status, whether the same request may succeed later, and what
 * the operator should do are data. Sent as `application/problem+json` (RFC 9457) with `success: false` and `mensaje`,
 * so that a client of the specification's API understands them too.
 */
export const errorTable = {
  NO_AUTORIZADO: {
    status: 401,
    retryable: false,
    title: 'Credenciales rechazadas',
    action: 'Revise el tenant y la clave (X-Tenant-Id, X-API-Key); pida una clave nueva al administrador.',
  },
  CLAVE_RETIRADA: {
    status: 403,
    retryable: false,
    title: 'La clave está retirada y no se puede rotar',
    action: 'Pida una clave nueva al administrador y ejecute init con ella.',
  },
  DEMASIADAS_CLAVES: {
    status: 409,
    retryable: false,
    title: 'El tenant tiene demasiadas claves en vigor',
    action: 'El administrador debe retirar las que no se usan: ax-sync-server key list, key revoke.',
  },
  TENANT_INACTIVO: {
    status: 403,
    retryable: false,
    title: 'La sincronización de este tenant está desactivada',
    action: 'Pida al administrador que la active: ax-sync-server tenant resume.',
  },
  AGENTE_NO_AUTORIZADO: {
    status: 403,
    retryable: false,
    title: 'Este agente no está autorizado a recibir los secretos del tenant',
    action: 'Pida al administrador que lo autorice: ax-sync-server agent authorize --tenant … --id ….',
  },
  AGENTE_ANTIGUO: {
    status: 426,
    retryable: false,
    title: 'La versión del agente es demasiado antigua',
    action: 'Instale esa versión de ax-sync-client sobre la que hay; la carpeta y su configuración se conservan.',
  },
  RUTA_DESCONOCIDA: { status: 404, retryable: false, title: 'La dirección no existe', action: 'Revise la URL.' },
  CONFIG_NO_ENCONTRADA: {
    status: 404,
    retryable: false,
    title: 'El tenant no tiene configuración',
    action: 'Pida al administrador que la cree: ax-sync-server tenant create.',
  },
  CONFIG_INVALIDA: {
    status: 422,
    retryable: false,
    title: 'La configuración del tenant no es válida',
    action: 'Corrija el campo nombrado con ax-sync-server config set.',
  },
  TABLA_DESCONOCIDA: {
    status: 404,
    retryable: false,
    title: 'La tabla no está en la configuración',
    action: 'Revise el nombre, o añada la tabla a configuracionTablas.',
  },
  FASE_DESCONOCIDA: {
    status: 404,
    retryable: false,
    title: 'La fase no está configurada para ejecutarse en este lado',
    action: 'Revise enabled y ejecutarEn de la fase en configuracionTablas.',
  },
  CUERPO_INVALIDO: {
    status: 400,
    retryable: false,
    title: 'El cuerpo de la petición no es válido',
    action: 'Corrija el campo nombrado y vuelva a enviar. No se ha cambiado nada.',
  },
  CUERPO_CORTADO: {
    status: 400,
    retryable: true,
    title: 'El cuerpo de la petición llegó incompleto',
    action: 'Vuelva a enviarlo entero. No se ha cambiado nada.',
  },
  LINEA_INVALIDA: {
    status: 422,
    retryable: false,
    title: 'Una línea no es un objeto JSON válido',
    action: 'Corrija la línea nombrada y vuelva a enviar. No se ha cambiado nada.',
  },
  CLAVE_AUSENTE: {
    status: 422,
    retryable: false,
    title: 'Una fila no tiene su clave',
    action: 'Añada la columna «codigo» o la de primaryKey a la fila nombrada. No se ha cambiado nada.',
  },
  CLAVE_AMBIGUA: {
    status: 422,
    retryable: false,
    title: 'Una fila tiene «codigo» y además una primaryKey distinta',
    action:
      'Ponga primaryKey: "codigo" si esa es la clave; si no, dé a la columna «codigo» otro nombre en la consulta. No se ha cambiado nada.',
  },
  CLAVE_REPETIDA: {
    status: 422,
    retryable: false,
    title: 'Dos filas tienen la misma clave',
    action:
      'Corrija la consulta, o primaryKey, para que cada fila tenga su clave; si debe valer la última, ponga clavesRepetidas: "ultima". No se ha cambiado nada.',
  },
  CLAVE_DE_OTRA_TABLA: {
    status: 422,
    retryable: false,
    title: 'La clave es de otra tabla del mismo tipoCampo',
    action:
      'Añada a primaryKey, en las dos tablas, una columna que las distinga (la empresa, la sucursal), o dé a cada una su tipoCampo. No se ha cambiado nada.',
  },
  VALOR_INVALIDO: {
    status: 422,
    retryable: false,
    title: 'Un valor no es admisible',
    action: 'Corrija la fila y el campo nombrados y vuelva a enviar. No se ha cambiado nada.',
  },
  DEMASIADO_GRANDE: {
    status: 413,
    retryable: false,
    title: 'El envío supera un límite',
    action: 'Divida el envío. No se ha cambiado nada.',
  },
  TIPO_NO_ADMITIDO: {
    status: 415,
    retryable: false,
    title: 'El tipo de contenido no se admite',
    action: 'Envíe application/json, application/x-ndjson o application/jsonl, sin comprimir o con gzip.',
  },
  NO_ACEPTABLE: {
    status: 406,
    retryable: false,
    title: 'No se puede responder en el formato pedido',
    action: 'Pida application/json o application/x-ndjson en Accept.',
  },
  DIGEST_DISTINTO: {
    status: 422,
    retryable: true,
    title: 'El contenido no coincide con su Content-Digest',
    action: 'Se dañó en el camino: vuelva a enviarlo.',
  },
  TROZO_DISTINTO: {
    status: 422,
    retryable: false,
    title: 'Ese trozo ya se recibió con otro contenido',
    action: 'Abandone la subida y empiece otra.',
  },
  SUBIDA_DESCONOCIDA: {
    status: 404,
    retryable: false,
    title: 'La subida no existe, caducó o se perdió en una caída de la base de datos',
    action: 'Empiece la subida de nuevo.',
  },
  SUBIDA_CERRADA: {
    status: 409,
    retryable: false,
    title: 'La subida ya está cerrada',
    action: 'Consulte su estado; si hace falta, empiece otra.',
  },
  TOTALES_DISTINTOS: {
    status: 409,
    retryable: false,
    title: 'Los totales no coinciden con lo recibido',
    action: 'Consulte qué trozos faltan, envíelos y repita el cierre. No se ha cambiado nada.',
  },
  PETICION_DISTINTA: {
    status: 422,
    retryable: false,
    title: 'Esa Idempotency-Key ya se usó con otro contenido',
    action: 'Use una clave nueva para cada envío. No se ha cambiado nada.',
  },
  GENERACION_DESCONOCIDA: {
    status: 409,
    retryable: false,
    title: 'La marca del agente parte de un estado que el servidor no tiene',
    action: 'El agente sube la tabla desde el principio: no hace falta nada.',
  },
  LECTURA_ANTIGUA: {
    status: 409,
    retryable: false,
    title: 'Lo leído es más antiguo que lo que ya se aplicó',
    action: 'El agente lee la tabla de nuevo; si se repite, compruebe el reloj de SQL Server. No se ha cambiado nada.',
  },
  ESQUEMA_DESCONOCIDO: {
    status: 409,
    retryable: false,
    title: 'Las columnas que nombra la subida no se han descrito',
    action: 'El agente las describe otra vez: no hace falta nada. No se ha cambiado nada.',
  },
  ESQUEMA_CAMBIADO: {
    status: 409,
    retryable: false,
    title: 'Las columnas de la consulta cambiaron, y la tabla espera',
    action:
      'Corrija la consulta o el origen; si el cambio es bueno, el administrador lo aprueba con ax-sync-server schema list y schema approve. No se ha cambiado nada.',
  },
  SQL_FALLO: {
    status: 422,
    retryable: false,
    title: 'Falló el SQL de la configuración',
    action: 'Corrija el SQL de la fase nombrada. No se ha cambiado nada.',
  },
  DEMASIADAS_PETICIONES: {
    status: 429,
    retryable: true,
    title: 'Demasiadas peticiones',
    action: 'Espere lo que dice Retry-After.',
  },
  OCUPADO: {
    status: 503,
    retryable: true,
    title: 'El servidor está ocupado',
    action: 'Espere lo que dice Retry-After.',
  },
  SECRETO_ILEGIBLE: {
    status: 500,
    retryable: false,
    title: 'Un secreto guardado no se puede abrir',
    action: 'Avise al administrador: SYNC_MASTER_KEY (o SYNC_MASTER_KEY_PREVIOUS) no es la clave con la que se selló.',
  },
  BASE_NO_DISPONIBLE: {
    status: 503,
    retryable: true,
    title: 'La base de datos no está disponible',
    action: 'Espere lo que dice Retry-After; si dura, avise al administrador.',
  },
  INTERNO: {
    status: 500,
    retryable: true,
    title: 'Error interno del servidor',
    action: 'Repita más tarde; si dura, avise al administrador con el identificador de la petición.',
  },
} as const satisfies Record<string, { status: number; retryable: boolean; title: string; action: string }>;

export type ErrorCode = keyof typeof errorTable;
