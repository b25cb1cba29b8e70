import { penjingPackage } from '../../tsup.base';

// Jobs are entries of their own, flat beside index, because workers import them by their URL.
const jobs = { 'training-data-job': 'src/train/training-data-job.ts' };

export default penjingPackage({ index: 'src/index.ts', pool: 'src/early-pool.ts', ...jobs }, { dts: { entry: { index: 'src/index.ts', pool: 'src/early-pool.ts' } } });
