import type { TablaSubida } from '../../../protocol/tenant-config/config.ts';
import type { Fingerprints } from '../../state/watermarks.ts';
import type { SyncContext } from '../context.ts';

/** What the steps of one attempt to upload a table share. */
export interface UploadJob {
  context: SyncContext;
  tabla: TablaSubida;
  /** Of the configuration and the connection that rows are read with now. */
  fingerprints: Fingerprints;
  /** An attempt before this one has shown that rows cannot be read under SNAPSHOT. */
  withoutSnapshot?: boolean;
}
