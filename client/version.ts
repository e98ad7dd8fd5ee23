import manifest from '../package.json' with { type: 'json' };
import { AGENT_NAME } from '../protocol/constants.ts';

export const version: string = manifest.version;
export const userAgent = `${AGENT_NAME}/${version}`;
