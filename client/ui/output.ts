import { SingleBar } from 'cli-progress';
import type Type from 'typebox';
import { type LogEvent, OUTPUT_FORMAT, type ProgressEvent } from '../../protocol/cli-output.ts';
import { visibleJson, visibleLine } from '../../protocol/visible.ts';
import type { LogEcho } from './log.ts';
import { createProgress, describeProgress, joinStates, type Progress, type ProgressState } from './progress.ts';

/** Where a command's words go: a terminal, a file or a scheduler (plain lines), a script (`--json`). */
export interface Output {
  echo: LogEcho;
  progress: Progress;
}

export interface Streams {
  stdout: NodeJS.WriteStream;
  stderr: NodeJS.WriteStream;
}

/** Plain lines are read later, by people who scroll. */
const LINES_EVERY_MS = 30_000;
const JSON_EVERY_MS = 1000;

/** Opens what the commands write to: the terminal's lines, or the events of `--json`. */
export function openOutput({ json }: { json: boolean }, streams: Streams): Output {
  if (json) return openJson(streams);
  return streams.stdout.isTTY === true ? openTerminal(streams) : openLines(streams);
}

/** One object a line: `registro` for each line of the log, `avance` of each table once a second. The command adds `fin`. */
function openJson({ stdout }: Streams): Output {
  const formato = OUTPUT_FORMAT;
  const print = (event: Type.Static<typeof LogEvent | typeof ProgressEvent>) => stdout.write(`${visibleJson(event)}\n`);
  const show = ({ segundos, total, espera, ...state }: ProgressState) => {
    const filasPorSegundo = Math.round(state.filas / Math.max(segundos, 0.001));
    const rest = { total: total?.filas ?? null, totalExacto: total?.exacto ?? null, espera: espera ?? null };
    print({ evento: 'avance', formato, ...state, filasPorSegundo, ...rest });
  };
  return {
    echo: (_, nivel, { hora, tabla, texto }) =>
      print({ evento: 'registro', formato, hora, nivel, tabla: tabla ?? null, texto }),
    progress: createProgress({ everyMs: JSON_EVERY_MS, show: (states) => states.forEach(show), clear: () => {} }),
  };
}

function openLines({ stdout, stderr }: Streams): Output {
  return {
    echo: (line, level) => (level === 'info' ? stdout : stderr).write(`${line}\n`),
    progress: createProgress({
      everyMs: LINES_EVERY_MS,
      show: (states) => {
        for (const state of states) stdout.write(`${visibleLine(describeProgress(state))}\n`);
      },
      clear: () => {},
    }),
  };
}

const CLEAR_LINE = '\r\x1b[K';

/** One line for all tables under way, that is written over; a bar where the number of rows is known. */
function openTerminal({ stdout, stderr }: Streams): Output {
  let bar: SingleBar | undefined;
  const show = (states: readonly ProgressState[]) => {
    const state = joinStates(states);
    const total = state.total?.filas ?? 0;
    const text = visibleLine(describeProgress(state));
    const format = (_: unknown, { value }: { value: number }, { text }: { text: string }) =>
      (total > 0 ? `${drawBar(value / total)} ${text}` : text).slice(0, (stdout.columns ?? 80) - 1);
    if (bar === undefined) {
      // Its own clock would write behind a line of the log: this one's does.
      bar = new SingleBar({ format, clearOnComplete: true, hideCursor: null, stream: stdout, fps: 1000 });
      bar.start(Math.max(total, 1), 0, { text });
    }
    bar.setTotal(Math.max(total, state.filas, 1));
    bar.update(state.filas, { text });
  };
  const clear = () => {
    bar?.stop();
    bar = undefined;
  };
  return {
    echo: (line, level) => {
      if (bar !== undefined) stdout.write(CLEAR_LINE);
      (level === 'info' ? stdout : stderr).write(`${line}\n`);
    },
    progress: createProgress({ everyMs: 200, show, clear }),
  };
}

function drawBar(share: number): string {
  const full = Math.round(Math.min(1, share) * 20);
  return `[${'█'.repeat(full)}${'░'.repeat(20 - full)}]`;
}
