import { readFileSync, writeFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';

/** Resident memory of a process while it works, and a drawing of several of them. */

const SAMPLE_MS = 200;

export interface MemoryCurve {
  process: 'agent' | 'server';
  /** What ran: `upload, empty table`. */
  what: string;
  rows: number;
  /** Bytes, every SAMPLE_MS from the start to the end. */
  samples: number[];
}

/** Samples VmRSS of a process (Linux; nothing elsewhere) until `stop` is called. */
export function sampleMemory(pid: number | undefined): { stop(): number[] } {
  const samples: number[] = [];
  const sample = () => {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      samples.push(Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) * 1024);
    } catch {
      // It has ended, or this is no Linux.
    }
  };
  const timer = setInterval(sample, SAMPLE_MS);
  return {
    stop() {
      clearInterval(timer);
      return samples;
    },
  };
}

/** The highest resident memory of a process since `resetPeak`, in bytes; undefined where this is no Linux. */
export async function readPeak(pid: number | undefined): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const kilobytes = /VmHWM:\s+(\d+) kB/.exec(status)?.[1];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
}

/** Forgets the peak so far; without the right to, it goes on counting. */
export async function resetPeak(pid: number | undefined): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5').catch(() => {});
}

const WIDTH = 460;
const HEIGHT = 260;
const MARGIN = { left: 48, top: 36, right: 12, bottom: 40 };
const COLOURS = ['#1b6ca8', '#d1495b', '#3c8d53', '#8d5fb0', '#c98a00', '#5b6770', '#00798c', '#a0522d', '#222222'];

/** Draws the curves as an SVG: a panel for each process, time from start to end of the run, memory from 0. */
export function drawMemory(path: string, curves: readonly MemoryCurve[]): void {
  const top = Math.ceil(Math.max(...curves.flatMap(({ samples }) => samples)) / 50e6) * 50;
  const runs = [...new Set(curves.map(nameOf))];
  const panels = (['agent', 'server'] as const).map((process, index) => {
    const own = curves.filter((curve) => curve.process === process);
    const lines = own.map((curve) => lineOf(curve, top, COLOURS[runs.indexOf(nameOf(curve)) % COLOURS.length]!));
    return `<g transform="translate(${index * WIDTH} 0)">${axes(process, top)}${lines.join('')}</g>`;
  });
  const legend = runs.map((name, index) => {
    const y = HEIGHT + 14 + index * 16;
    const colour = COLOURS[index % COLOURS.length];
    return `<rect x="${MARGIN.left}" y="${y - 8}" width="18" height="3" fill="${colour}"/><text x="${MARGIN.left + 26}" y="${y - 2}">${name}</text>`;
  });
  const height = HEIGHT + 20 + runs.length * 16;
  writeFileSync(
    path,
    `<svg xmlns="http://www.w3.org/2000/svg" width="${2 * WIDTH}" height="${height}" font-family="sans-serif" font-size="11">
<rect width="100%" height="100%" fill="white"/>
${[...panels, ...legend].join('\n')}
</svg>
`,
  );
}

const nameOf = ({ what, rows }: MemoryCurve) => `${rows.toLocaleString('en')} rows: ${what}`;
const plotWidth = WIDTH - MARGIN.left - MARGIN.right;
const plotHeight = HEIGHT - MARGIN.top - MARGIN.bottom;
const yOf = (mega: number, top: number) => MARGIN.top + plotHeight * (1 - mega / top);

function axes(process: string, top: number): string {
  const bottom = MARGIN.top + plotHeight;
  const marks = Array.from({ length: top / 50 + 1 }, (_, n) => n * 50).map((mega) => {
    const y = yOf(mega, top);
    return `<line x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${y}" y2="${y}" stroke="#ddd"/><text x="${MARGIN.left - 6}" y="${y + 4}" text-anchor="end">${mega}</text>`;
  });
  return `${marks.join('')}<text x="${MARGIN.left}" y="20" font-size="13">${process}: resident memory, MB</text><text x="${MARGIN.left}" y="${bottom + 18}">start of the run</text><text x="${WIDTH - MARGIN.right}" y="${bottom + 18}" text-anchor="end">end</text>`;
}

function lineOf({ samples }: MemoryCurve, top: number, colour: string): string {
  // No more points than the drawing has pixels: of each of them the highest sample.
  const step = Math.max(1, samples.length / plotWidth);
  const points: string[] = [];
  for (let from = 0; from < samples.length; from += step) {
    const highest = Math.max(...samples.slice(Math.floor(from), Math.floor(from + step) || 1));
    const x = MARGIN.left + (from / Math.max(1, samples.length - 1)) * plotWidth;
    points.push(`${x.toFixed(1)},${yOf(highest / 1e6, top).toFixed(1)}`);
  }
  return `<polyline fill="none" stroke="${colour}" stroke-width="1.3" points="${points.join(' ')}"/>`;
}
