/** What the process answers to Task Scheduler: one table. */
export const exitCodes = {
  exitoso: 0,
  error: 1,
  parcial: 2,
  configuracion: 3,
  backend: 4,
  sqlserver: 5,
  credenciales: 6,
  ocupado: 7,
  antiguo: 8,
  /** Nothing failed, but rows wait for an administrator (protocol/tenant-config/guard.ts). */
  bajasRetenidas: 9,
  /** Nothing failed, but changes of columns wait for an administrator (protocol/rows/drift.ts). */
  esquemaPendiente: 10,
  /** `verify`: the sides are not equal. */
  diferencias: 11,
  /** `verify`: it did not come to its end in the time that it was given. */
  incompleta: 12,
  /** Ctrl-C or SIGTERM, as shells number it. */
  interrumpido: 130,
} as const;

/** The same for an operator. */
export const exitMeanings: Record<keyof typeof exitCodes, string> = {
  exitoso: 'todo bien',
  error: 'falló alguna tabla, o algo inesperado',
  parcial: 'unas tablas bien, otras con error',
  configuracion: 'falta o está mal la configuración, la contraseña o la línea de comandos',
  backend: 'no se llega al backend, o respondió un error',
  sqlserver: 'no se llega a SQL Server, o respondió un error',
  credenciales: 'el backend no acepta la clave, o SQL Server el usuario',
  ocupado: 'ya había una sincronización en marcha en esa carpeta',
  antiguo: 'este agente es demasiado antiguo para el backend, o para los archivos de su carpeta',
  bajasRetenidas: 'todo bien, pero hay bajas retenidas: filas que faltan en el origen y esperan al administrador',
  esquemaPendiente: 'todo bien, pero hay columnas que cambiaron en el origen y esperan al administrador',
  diferencias: '`verify` encontró filas que no son iguales en los dos lados',
  incompleta: '`verify` no terminó en el tiempo que se le dio',
  interrumpido: 'interrumpido antes de terminar',
};

/** What the manual tells an operator to do about each. */
export const exitActions: Record<keyof typeof exitCodes, string> = {
  exitoso: 'nada',
  error: 'mire `logs\\sync-error.log`',
  parcial: 'mire `logs\\sync-error.log`; las que fallaron se intentan en la próxima ejecución',
  configuracion: 'ejecute `test` a mano: nombra lo que falta',
  backend: 'compruebe la red; se reintenta en la próxima ejecución',
  sqlserver: 'compruebe que SQL Server esté en marcha',
  credenciales: 'pida otra clave y repita `init`, o corrija el usuario',
  ocupado: 'nada; si se repite siempre, una ejecución tarda más que el intervalo',
  antiguo: 'instale la versión que dice el registro, o una posterior; véase «Actualizar»',
  bajasRetenidas: 'véase «Bajas retenidas»',
  esquemaPendiente: 'véase «Columnas que cambian»',
  diferencias: 'véase «Comprobar que los dos lados son iguales»',
  incompleta: 'ejecute `verify` otra vez: sigue donde quedó',
  interrumpido: 'nada: la próxima ejecución sigue desde la última marca confirmada',
};

export type ExitReason = keyof typeof exitCodes;
export const allExitReasons = Object.keys(exitCodes) as [ExitReason, ...ExitReason[]];
export type AgentErrorKind = Exclude<
  ExitReason,
  'exitoso' | 'parcial' | 'bajasRetenidas' | 'esquemaPendiente' | 'diferencias' | 'incompleta'
>;
