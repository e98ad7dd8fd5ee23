import { measureExtraction } from './extract.ts';
import { measureManySmall } from './many-small.ts';
import { printAims } from './run.ts';
import { measureSyncs } from './sync.ts';
import { measureTracked } from './tracked.ts';

/**
 * `npm run bench:all`: everything that there is an aim for, one after the other, and at the end all figures beside their
 * aims. Some 25 minutes; the machine must have nothing else to do. Memory is drawn to benchmarks/memory.svg.
 */
const aims = [
  ...(await measureExtraction()),
  ...(await measureSyncs({ sizes: [100_000, 1_000_000, 10_000_000], beside: true, draw: 'benchmarks/memory.svg' })),
  ...(await measureTracked(300_000)),
  ...(await measureManySmall()),
];
printAims(aims);
