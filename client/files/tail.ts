import { open } from 'node:fs/promises';
import { isMissingFile } from './files.ts';

/** An entry of a log, with the lines that belong to it. */
export interface LogLine {
  /** `2024-01-15 10:30:00.123` */
  hora: string;
  nivel: 'INFO' | 'AVISO' | 'ERROR';
  /** Behind time and level; begins with the table, where there is one. */
  texto: string;
}

const BLOCK_BYTES = 64 * 1024;
const NEWLINE = 10;
const ENTRY = /^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) (INFO|AVISO|ERROR) +(.*)$/s;

/** Yields the entries of some log files, the last of the first file first. Files that do not exist are passed over. */
export async function* readBackwards(paths: readonly string[]): AsyncGenerator<LogLine> {
  for (const path of paths) {
    let below: string[] = [];
    for await (const line of linesBackwards(path)) {
      const match = ENTRY.exec([line, ...below].join('\n'));
      if (match === null) {
        below = [line, ...below];
        continue;
      }
      below = [];
      yield { hora: match[1]!, nivel: match[2] as LogLine['nivel'], texto: match[3]! };
    }
  }
}

/** The lines of a file from its end, a block at a time. */
async function* linesBackwards(path: string): AsyncGenerator<string> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    if (isMissingFile(cause)) return undefined;
    throw cause;
  });
  if (file === undefined) return;
  try {
    let end = (await file.stat()).size;
    let rest: Buffer = Buffer.alloc(0);
    let first = true;
    while (end > 0) {
      const start = Math.max(0, end - BLOCK_BYTES);
      const block = Buffer.alloc(end - start);
      const { bytesRead } = await file.read(block, 0, block.length, start);
      rest = Buffer.concat([block.subarray(0, bytesRead), rest]);
      end = start;
      for (let at = rest.lastIndexOf(NEWLINE); at >= 0; at = rest.lastIndexOf(NEWLINE)) {
        // What stands behind the last newline of the file is no line yet.
        if (!first) yield rest.toString('utf8', at + 1);
        first = false;
        rest = rest.subarray(0, at);
      }
    }
    if (!first) yield rest.toString('utf8');
  } finally {
    await file.close();
  }
}
