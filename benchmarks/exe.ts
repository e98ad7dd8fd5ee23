import { execFileSync, spawnSync } from 'node:child_process';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { compileAgent } from '../client/exe/compile.ts';

/**
 * `bun benchmarks/exe.ts [ROUNDS]`: what makes the compiled agent as large as it is, and how long it takes to start
 * (`--version`): as it is shipped, with one thing left out each, and an empty program, which is Bun alone. The programs
 * start in turns, so that what else the machine does meets all of them.
 */
const rounds = Number(process.argv[2] ?? 15);
const folder = await mkdtemp(join(tmpdir(), 'ax-exe-'));
const version = { commit: 'medida', built: '2000-01-01' };

interface Variant {
  name: string;
  path: string;
  milliseconds: number[];
}

async function make(name: string, options: Parameters<typeof compileAgent>[3] = {}): Promise<Variant> {
  const path = join(folder, name.replace(/\W+/g, '-'));
  await compileAgent('linux-x64', path, version, options);
  return { name, path, milliseconds: [] };
}

/** `strip` of binutils on a copy. */
async function strip(name: string, { path: from }: Variant, option: string): Promise<Variant> {
  const path = join(folder, name.replace(/\W+/g, '-'));
  await copyFile(from, path);
  execFileSync('strip', [option, path]);
  return { name, path, milliseconds: [] };
}

function startOnce({ path }: Variant): { ms: number; works: boolean } {
  const startedAt = performance.now();
  const { status, stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' });
  // One that has lost its program is Bun itself, and tells Bun's version.
  const works = status === 0 && (stdout === '' || stdout.includes(version.commit));
  return { ms: performance.now() - startedAt, works };
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;

try {
  const empty = join(folder, 'empty.ts');
  await writeFile(empty, 'export {};\n');
  const shipped = await make('as shipped');
  const variants = [
    shipped,
    await make('without bytecode', { bytecode: false }),
    await make('without minify', { minify: false }),
    await make('with tedious as it comes', { plugins: [] }),
    await make('with a source map', { sourcemap: 'inline' }),
    await make('an empty program', { program: empty }),
    await strip('strip --strip-debug', shipped, '--strip-debug'),
    await strip('strip --strip-all', shipped, '--strip-all'),
  ];
  const broken = new Set(variants.filter((variant) => !startOnce(variant).works).map(({ name }) => name));
  for (let round = 0; round < rounds; round++) {
    for (const variant of variants) variant.milliseconds.push(startOnce(variant).ms);
  }
  console.log(`| program, linux-x64 | MB | start, × as shipped (median of ${rounds}) |\n|---|---:|---:|`);
  for (const { name, path, milliseconds } of variants) {
    const ratio = (median(milliseconds) / median(shipped.milliseconds)).toFixed(2);
    console.log(`| ${name} | ${megabytes(await readFile(path))} | ${broken.has(name) ? 'does not run' : ratio} |`);
  }
  const exe = join(folder, 'ax-sync-client.exe');
  await compileAgent('windows-x64', exe, version);
  for (const [name, path] of [['windows-x64', exe] as const, ['linux-x64', shipped.path] as const]) {
    const content = await readFile(path);
    console.log(`${name}: ${megabytes(content)} MB, by gzip -9 ${megabytes(gzipSync(content, { level: 9 }))} MB`);
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}

function megabytes(content: Uint8Array): string {
  return (content.byteLength / 1e6).toFixed(1);
}
