/** Numbers, times and tables as an operator reads them. */

/** Always with its point: Spanish leaves it out of four digits. */
export function count(value: number): string {
  return value.toLocaleString('es', { useGrouping: 'always' } as unknown as Intl.NumberFormatOptions);
}

/** Returns a number with its decimals as Spanish writes them. */
export function decimal(value: number): string {
  return value.toLocaleString('es', { minimumFractionDigits: 1, maximumFractionDigits: 1 });
}

/** Returns bytes as `34,1 MB`. */
export function megabytes(bytes: number): string {
  return `${decimal(bytes / 1e6)} MB`;
}

/** Returns `2024-01-15 10:30:00`, on the wall clock of this machine. What is no time stays as it is. */
export function localTime(iso: string): string {
  const time = new Date(iso);
  return Number.isNaN(time.getTime()) ? iso : localTimestamp(time).slice(0, 19);
}

/** Returns `2024-01-15 10:30:00.123`, on the wall clock of this machine. */
export function localTimestamp(now: Date): string {
  const pad = (value: number, width = 2) => String(value).padStart(width, '0');
  const day = `${now.getFullYear()}-${pad(now.getMonth() + 1)}-${pad(now.getDate())}`;
  const time = `${pad(now.getHours())}:${pad(now.getMinutes())}:${pad(now.getSeconds())}`;
  return `${day} ${time}.${pad(now.getMilliseconds(), 3)}`;
}

/** Returns at most so many characters; the last one says that there were more. */
export function cut(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}

/** Columns as wide as their widest cell, two spaces between. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
