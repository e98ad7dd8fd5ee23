import manifest from '../package.json' with { type: 'json' };

/** Put in by client/exe/build.ts. */
declare const AX_SYNC_COMMIT: string;
declare const AX_SYNC_BUILT: string;

export const version: string = manifest.version;
/** What `--version` prints: the version, and for a compiled program its commit and the day it was built. */
export const fullVersion: string =
  typeof AX_SYNC_COMMIT === 'undefined' ? version : `${version} (${AX_SYNC_COMMIT}, ${AX_SYNC_BUILT})`;
export const userAgent = `ax-sync-client/${version}`;
