import { penjingPackage } from '../../tsup.base';

export default penjingPackage({ index: 'src/index.ts', pool: 'src/early-pool.ts' });
