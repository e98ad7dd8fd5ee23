import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { BunPlugin } from 'bun';
import manifest from '../../package.json' with { type: 'json' };
import { brandWindowsExe } from './windows-resources.ts';

/**
 * `npm run build:exe [-- --outdir DIR] [--target windows-x64]`: compiles the agent to one file for each system, with its
 * `SHA256SUMS` beside it. Two builds of one commit on one day are equal byte for byte.
 */
const root = resolve(import.meta.dirname, '..', '..');
const targets = { 'windows-x64': 'ax-sync-client.exe', 'linux-x64': 'ax-sync-client' } as const;

/**
 * tedious loads the Azure libraries at its start, for logins with Azure AD and for Always Encrypted. The agent uses
 * neither, and they are a quarter of its code and a third of the time that it takes to start.
 */
const withoutAzure: BunPlugin = {
  name: 'without-azure',
  setup(build) {
    build.onResolve({ filter: /^@azure\// }, ({ path }) => ({ path, namespace: 'absent' }));
    build.onLoad({ filter: /./, namespace: 'absent' }, () => ({ contents: 'module.exports = {};', loader: 'js' }));
  },
};

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
  await compile(target as keyof typeof targets, outfile);
  const content = await readFile(outfile);
  sums.push(`${createHash('sha256').update(content).digest('hex')}  ${name}\n`);
  console.log(`${outfile}  ${(content.byteLength / 1e6).toFixed(1)} MB  ${manifest.version} ${commit} ${built}`);
}
await writeFile(join(values.outdir, 'SHA256SUMS'), sums.join(''));

async function compile(target: keyof typeof targets, outfile: string): Promise<void> {
  await Bun.build({
    entrypoints: [join(root, 'client', 'main.ts')],
    target: 'bun',
    format: 'esm',
    minify: true,
    // The program is compiled before it is shipped, not at each of its starts.
    bytecode: true,
    plugins: [withoutAzure],
    define: { AX_SYNC_COMMIT: JSON.stringify(commit), AX_SYNC_BUILT: JSON.stringify(built) },
    // A .env or a bunfig.toml in the folder where it is started would change the program, or run another.
    compile: { target: `bun-${target}`, outfile, autoloadDotenv: false, autoloadBunfig: false },
  });
  if (target === 'windows-x64') await brandWindowsExe(outfile, `${manifest.version} (${commit})`);
}

/** The commit that is built; `+` says that files have changed since. A source archive has none. */
function readCommit(): string {
  const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: 'pipe' }).trim();
  try {
    return git('rev-parse', '--short=12', 'HEAD') + (git('status', '--porcelain') === '' ? '' : '+');
  } catch {
    return 'sin-commit';
  }
}
