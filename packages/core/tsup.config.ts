import { penjingPackage } from '../../tsup.base';

export default penjingPackage({ index: 'src/index.ts', reference: 'src/reference/index.ts', rewrite: 'src/rewrite/index.ts', linalg: 'src/linalg/index.ts' });
