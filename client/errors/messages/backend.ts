import type { Messages } from './message.ts';

/** What goes wrong on the way to the backend; its own errors are in `protocol/errors.ts`. */
export const backendMessages = {
  DNS_SIN_NOMBRE: {
    kind: 'backend',
    message: 'No se encuentra {servidor}: {motivo}.',
    action: 'Revise el nombre, y el servidor DNS de este equipo.',
  },
  TLS_FALLO: {
    kind: 'backend',
    message: 'No hay TLS con {servidor}: {motivo}.',
    action: 'Revise cortafuegos, proxy y dirección.',
  },
  CERTIFICADO_NO_ACEPTADO: {
    kind: 'backend',
    message: 'El {certificado} no se acepta: {motivo}.',
    action: 'Instale en el backend un certificado válido; si lo emite la empresa, ejecute init con --ca archivo.pem.',
  },
  PROXY_INVALIDO: {
    kind: 'configuracion',
    message: 'El proxy de {origen} no se entiende, o no es HTTP.',
    action: 'Escríbalo así: http://servidor:puerto, con usuario:contraseña@ delante del servidor si los pide.',
  },
  PROXY_HTTPS: {
    kind: 'backend',
    message: '{proxy}: con un proxy https no se mira el certificado del backend.',
    action: 'Use un proxy http://, o compruebe el certificado desde otro equipo.',
  },
  PROXY_NO_DEJA: {
    kind: 'backend',
    message: 'El proxy {proxy} responde {estado} y no deja llegar a {servidor}.',
    action: 'Pida que lo permitan.',
  },
  PROXY_PIDE_USUARIO: {
    kind: 'backend',
    message: '{url}: el proxy {proxy} pide usuario y contraseña, o los rechaza (407).',
    action: 'Póngalos delante del servidor: http://usuario:contraseña@servidor:puerto.',
  },
  BACKEND_INALCANZABLE: {
    kind: 'backend',
    retryable: true,
    message: 'No se puede llegar a {url}: {motivo}.',
    action: 'Compruebe la red, la dirección y que el backend esté en marcha; la próxima ejecución lo intenta de nuevo.',
  },
  BACKEND_SIN_RESPUESTA: {
    kind: 'backend',
    retryable: true,
    message: '{url} no respondió: {motivo}.',
    action: 'Compruebe la red y que el backend esté en marcha; la próxima ejecución lo intenta de nuevo.',
  },
  RESPUESTA_CORTADA: {
    kind: 'backend',
    retryable: true,
    message: '{url} cortó la respuesta: {motivo}.',
    action: 'Compruebe la red y los proxies; la próxima ejecución lo intenta de nuevo.',
  },
  DESCARGA_INCOMPLETA: {
    kind: 'backend',
    retryable: true,
    message: 'La descarga llegó incompleta: {motivo}.',
    action: 'Compruebe la red y los proxies; la próxima ejecución lo intenta de nuevo.',
  },
  DESCARGA_FILA_GRANDE: {
    kind: 'backend',
    message: 'Una fila de la descarga pasa de {bytes} bytes.',
    action: 'Deje fuera la columna grande en la consulta de la bajada.',
  },
  RESPUESTA_AJENA: {
    kind: 'backend',
    message: '{url} respondió {estado} y no es una respuesta del backend: {texto}.',
    action: 'Compruebe la dirección del backend (init --url) y los proxies.',
  },
  RESPUESTA_GRANDE: {
    kind: 'backend',
    message: '{url} respondió más de {bytes} bytes.',
    action: 'Compruebe la dirección del backend (init --url).',
  },
  SERVICIO_CAIDO: {
    kind: 'backend',
    retryable: true,
    message: '{url} respondió {estado} y no es una respuesta del backend: {texto}.',
    action: 'Compruebe los proxies y que el backend esté en marcha; la próxima ejecución lo intenta de nuevo.',
  },
  REDIRECCION: {
    kind: 'backend',
    message: '{url} redirige a {destino}.',
    action: 'Ejecute init con la dirección definitiva.',
  },
  COLUMNAS_CAMBIADAS: {
    kind: 'sqlserver',
    message: 'Las columnas de «{tabla}» cambiaron mientras se leía.',
    action: 'Nada: se lee otra vez desde el principio. Si se repite, espere a que terminen los cambios en SQL Server.',
  },
  TROZO_PERDIDO: {
    kind: 'backend',
    message: 'El backend perdió el trozo {trozo} y el agente ya no lo conserva.',
    action: 'La tabla se lee de nuevo: no hace falta nada.',
  },
} as const satisfies Messages;
