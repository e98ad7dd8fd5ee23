import manifest from '../package.json' with { type: 'json' };
import { AGENT_NAME } from '../protocol/constants.ts';

/** Put in by client/exe/build.ts. */
declare const AX_SYNC_COMMIT: string;
declare const AX_SYNC_BUILT: string;

export const version: string = manifest.version;
export const userAgent = `${AGENT_NAME}/${version}`;
/** What `--version` prints: the version, and for a compiled program its commit and the day it was built. */
export const fullVersion: string =
  typeof AX_SYNC_COMMIT === 'undefined' ? version : `${version} (${AX_SYNC_COMMIT}, ${AX_SYNC_BUILT})`;
