import { penjingPackage } from '../../tsup.base';

export default penjingPackage({ index: 'src/index.ts', node: 'src/node/index.ts', data: 'src/data/index.ts', v2: 'src/v2/index.ts', 'pool-worker': 'src/node/pool-worker.ts' });
