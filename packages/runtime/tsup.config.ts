import { penjingPackage } from '../../tsup.base';

// The worker is an entry of its own, flat beside index, because it is started by its URL.
export default penjingPackage({ index: 'src/index.ts', 'session-worker': 'src/session-worker.ts' }, { dts: { entry: { index: 'src/index.ts' } } });
