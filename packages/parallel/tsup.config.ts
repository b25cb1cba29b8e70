import { penjingPackage } from '../../tsup.base';

export default penjingPackage({
  index: 'src/index.ts',
  node: 'src/node/index.ts',
  nats: 'src/nats/index.ts',
  grpc: 'src/grpc/index.ts',
});
