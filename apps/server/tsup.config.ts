import { penjingPackage } from '../../tsup.base';

const entries = { index: 'src/index.ts' };

// What runs in a model's process or thread are entries of their own, flat beside index, because they are found by their URLs.
export default penjingPackage({ ...entries, 'model-process': 'src/host/model-process.ts', 'model-thread': 'src/host/model-thread.ts' }, { format: ['esm'], dts: { entry: entries } });
