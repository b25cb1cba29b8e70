import { penjingPackage } from '../../tsup.base';

const entries = { index: 'src/index.ts', pool: 'src/early-pool.ts', graphs: 'src/graph/look-at-graphs.ts' };

// Jobs are entries of their own, flat beside index, because workers import them by their URL.
const jobs = { 'probe-job': 'src/parallel/probe-job.ts', 'training-data-job': 'src/train/training-data-job.ts', 'graph-worker': 'src/graph/graph-worker.ts' };

export default penjingPackage({ ...entries, ...jobs }, { dts: { entry: entries } });
