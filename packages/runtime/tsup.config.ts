import { penjingPackage } from '../../tsup.base';

const entries = { index: 'src/index.ts', web: 'src/web.ts' };

// The worker and the jobs are entries of their own, flat beside index, because they are found by their URLs.
export default penjingPackage({ ...entries, 'session-worker': 'src/session-worker.ts', 'digest-job': 'src/jobs/digest-job.ts', 'blocked-layout-job': 'src/jobs/blocked-layout-job.ts', 'prepare-pictures': 'src/tasks/prepare-pictures.ts', 'prepare-sound': 'src/tasks/prepare-sound.ts', 'score-job': 'src/compare/score-job.ts', 'text-tokens-job': 'src/compare/text-tokens-job.ts', 'form-job': 'src/generate/form-job.ts', 'grammar-thread': 'src/constrain/grammar-thread.ts' }, { dts: { entry: entries } });
