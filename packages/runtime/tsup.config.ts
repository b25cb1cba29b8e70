import { penjingPackage } from '../../tsup.base';

const entries = { index: 'src/index.ts', web: 'src/web.ts' };

// The worker is an entry of its own, flat beside index, because it is started by its URL.
export default penjingPackage({ ...entries, 'session-worker': 'src/session-worker.ts' }, { dts: { entry: entries } });
