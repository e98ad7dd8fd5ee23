import type { ConfiguracionTablas } from '../../protocol/tenant-config/config.ts';

export type QuietHours = NonNullable<ConfiguracionTablas['horasSilencio']>[number];

/**
 * Finds the hours of `horasSilencio` that `now` lies in, on this machine's wall clock; undefined when it lies in none.
 */
export function findQuietHours(
  { horasSilencio = [] }: Pick<ConfiguracionTablas, 'horasSilencio'>,
  now: Date,
): QuietHours | undefined {
  const minute = now.getHours() * 60 + now.getMinutes();
  return horasSilencio.find((hours) => {
    const [from, to] = [minutesOf(hours.desde), minutesOf(hours.hasta)];
    return from < to ? from <= minute && minute < to : from <= minute || minute < to;
  });
}

function minutesOf(time: string): number {
  const [hours, minutes] = time.split(':').map(Number) as [number, number];
  return hours * 60 + minutes;
}
