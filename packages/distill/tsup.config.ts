import { penjingPackage } from '../../tsup.base';

// Jobs are entries of their own, flat beside index, because workers import them by their URL.
export default penjingPackage({ index: 'src/index.ts', 'zeros-job': 'src/recover/zeros-job.ts' }, { dts: { entry: { index: 'src/index.ts' } } });
