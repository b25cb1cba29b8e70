import { penjingPackage } from '../../tsup.base';

// Jobs are entries of their own, flat beside index, because workers import them by their URL.
const jobs = { 'train-job': 'src/trainer/train-job.ts', 'teacher-job': 'src/trainer/teacher-job.ts', 'zeros-job': 'src/recover/zeros-job.ts', 'grid-job': 'src/recover/grid-job.ts' };

export default penjingPackage({ index: 'src/index.ts', ...jobs }, { dts: { entry: { index: 'src/index.ts' } } });
