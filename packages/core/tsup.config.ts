import { penjingPackage } from '../../tsup.base';

const entries = { index: 'src/index.ts', reference: 'src/reference/index.ts', rewrite: 'src/rewrite/index.ts', linalg: 'src/linalg/index.ts', calibrate: 'src/calibrate/index.ts' };

// Jobs are entries of their own, flat beside index, because workers import them by their URL.
export default penjingPackage({ ...entries, 'block-job': 'src/calibrate/block-job.ts', 'merge-job': 'src/calibrate/merge-job.ts' }, { dts: { entry: entries } });
