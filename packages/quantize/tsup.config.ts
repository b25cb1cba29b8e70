import { penjingPackage } from '../../tsup.base';

// Jobs are entries of their own, flat beside index, because workers import them by their URL.
const jobs = {
  'awq-job': 'src/awq/awq-job.ts',
  'gptq-job': 'src/gptq/gptq-job.ts',
  'loss-job': 'src/sensitivity/loss-job.ts',
  'probe-job': 'src/sensitivity/probe-job.ts',
  'ranges-job': 'src/static/ranges-job.ts',
  'smooth-job': 'src/smooth/smooth-job.ts',
  'weight-limits-job': 'src/half/weight-limits-job.ts',
  'weight-job': 'src/static/weight-job.ts',
};

export default penjingPackage({ index: 'src/index.ts', ...jobs }, { dts: { entry: { index: 'src/index.ts' } } });
