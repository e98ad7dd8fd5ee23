import { resolve } from 'node:path';
import type { BuildConfig, BunPlugin } from 'bun';

/** What is built, by the name that Bun has for it. */
export const targets = { 'windows-x64': 'ax-sync-client.exe', 'linux-x64': 'ax-sync-client' } as const;

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

const entry = resolve(import.meta.dirname, '..', 'main.ts');

/**
 * Compiles the agent (or `program`) to the one file `outfile`. `options`: what is tried in the place of what is shipped
 * (benchmarks/exe.ts). Throws what Bun says.
 */
export async function compileAgent(
  target: keyof typeof targets,
  outfile: string,
  { commit, built }: { commit: string; built: string },
  { program = entry, ...options }: Partial<BuildConfig> & { program?: string } = {},
): Promise<void> {
  await Bun.build({
    entrypoints: [program],
    target: 'bun',
    format: 'esm',
    minify: true,
    // The program is compiled before it is shipped, not at each of its starts.
    bytecode: true,
    plugins: [withoutAzure],
    define: { AX_SYNC_COMMIT: JSON.stringify(commit), AX_SYNC_BUILT: JSON.stringify(built) },
    ...options,
    // A .env or a bunfig.toml in the folder where it is started would change the program, or run another.
    compile: { target: `bun-${target}`, outfile, autoloadDotenv: false, autoloadBunfig: false },
  } as BuildConfig);
}
