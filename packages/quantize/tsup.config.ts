import { penjingPackage } from '../../tsup.base';

// Jobs are entries of their own, flat beside index, because workers import them by their URL.
export default penjingPackage({ index: 'src/index.ts', 'awq-job': 'src/awq/awq-job.ts', 'gptq-job': 'src/gptq/gptq-job.ts', 'ranges-job': 'src/static/ranges-job.ts', 'weight-job': 'src/static/weight-job.ts' }, { dts: { entry: { index: 'src/index.ts' } } });
