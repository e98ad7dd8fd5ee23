import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import manifest from '../../package.json' with { type: 'json' };
import { compileAgent, targets } from './compile.ts';
import { brandWindowsExe } from './windows-resources.ts';

/**
 * `npm run build:exe [-- --outdir DIR] [--target windows-x64]`: compiles the agent to one file for each system, with its
 * `SHA256SUMS` beside it. Two builds of one commit on one day are equal byte for byte.
 */
const root = resolve(import.meta.dirname, '..', '..');

const { values } = parseArgs({
  options: {
    outdir: { type: 'string', default: join(root, 'dist') },
    target: { type: 'string', multiple: true, default: Object.keys(targets) },
  },
});
await mkdir(values.outdir, { recursive: true });
const commit = readCommit();
const built = new Date().toISOString().slice(0, 10);
const sums: string[] = [];
for (const target of values.target) {
  const name = targets[target as keyof typeof targets];
  if (name === undefined) throw new Error(`--target ${target}: there are ${Object.keys(targets).join(' and ')}`);
  const outfile = resolve(values.outdir, name);
  await compileAgent(target as keyof typeof targets, outfile, { commit, built });
  if (target === 'windows-x64') await brandWindowsExe(outfile, `${manifest.version} (${commit})`);
  const content = await readFile(outfile);
  sums.push(`${createHash('sha256').update(content).digest('hex')}  ${name}\n`);
  console.log(`${outfile}  ${(content.byteLength / 1e6).toFixed(1)} MB  ${manifest.version} ${commit} ${built}`);
}
await writeFile(join(values.outdir, 'SHA256SUMS'), sums.join(''));

/** The commit that is built; `+` says that files have changed since. A source archive has none. */
function readCommit(): string {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: 'pipe' }).trim();
  try {
    return git('rev-parse', '--short=12', 'HEAD') + (git('status', '--porcelain') === '' ? '' : '+');
  } catch {
    return 'sin-commit';
  }
}
