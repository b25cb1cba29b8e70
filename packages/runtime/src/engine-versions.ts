/** What the results of jobs may depend on besides their input: they are kept, and handed to other machines, with these. */
import { packageVersions } from '@penjing/graph-io/node';

let known: readonly string[] | undefined;

/** Of ONNX Runtime, of our kernels, and of what calls them here. */
export function engineVersions(): readonly string[] {
  return (known ??= packageVersions(import.meta.url, ['onnxruntime-node', '@penjing/kernels', '@penjing/core', '@penjing/graph-io', '@penjing/runtime']));
}
