import { penjingPackage } from '../../tsup.base';

export default penjingPackage({ main: 'src/main.ts' }, { format: ['esm'], dts: false, noExternal: [/\.schema\.json$/] });
