import { penjingPackage } from '../../tsup.base';

export default penjingPackage({ index: 'src/index.ts', rewrite: 'src/rewrite/index.ts', calibrate: 'src/calibrate/index.ts', reference: 'src/reference/index.ts' });
