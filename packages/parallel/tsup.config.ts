import { penjingPackage } from '../../tsup.base';

const entries = { index: 'src/index.ts', node: 'src/node/index.ts', nats: 'src/nats/index.ts', grpc: 'src/grpc/index.ts' };

// The job is an entry of its own, flat beside the others, because it is found by its URL.
export default penjingPackage({ ...entries, 'tensor-job': 'src/node/tensor-job.ts' }, { dts: { entry: entries } });
