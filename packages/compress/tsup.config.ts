import { penjingPackage } from '../../tsup.base';

// Jobs are entries of their own, flat beside index, because workers import them by their URL.
export default penjingPackage(
  {
    index: 'src/index.ts',
    'factor-job': 'src/low-rank/factor-job.ts',
    'unit-job': 'src/structured/unit-job.ts',
    'gate-job': 'src/structured/gate-job.ts',
    'gather-job': 'src/sparse/gather-job.ts',
    'prune-job': 'src/sparse/prune-job.ts',
    'threshold-job': 'src/sparse/threshold-job.ts',
    'palette-job': 'src/palette/palette-job.ts',
    'palette-loss-job': 'src/palette/palette-loss-job.ts',
    'prune-loss-job': 'src/sparse/prune-loss-job.ts',
  },
  { dts: { entry: { index: 'src/index.ts' } } },
);
