/** Every ONNX model of the shared test material, with what onnxruntime-node says about it and its recorded inputs. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readTarGz } from './tar.js';

export interface CorpusModel {
  /** `archive/path/in/archive.onnx`. */
  readonly id: string;
  readonly archive: string;
  readonly bytes: Uint8Array;
  /** Loads in onnxruntime-node 1.30; undefined when nobody has recorded it. */
  readonly ok: boolean | undefined;
  /** Serialized TensorProtos (or sequences, optionals) of the first data set. */
  readonly inputs: readonly Uint8Array[];
  /** A file beside the model, for external data. */
  readonly beside: (location: string) => Uint8Array | undefined;
}

type Baseline = Record<string, { ort_node_1_30_load: string }>;

const archives = [
  'onnx-backend/light', 'onnx-backend/node', 'onnx-backend/pytorch-converted', 'onnx-backend/pytorch-operator',
  'onnx-backend/simple', 'onnx-ops/burn-onnx', 'onnx-ops/onnx2tf', 'onnxruntime-testdata/onnxruntime-testdata',
];

export function* onnxCorpus(data: string): Generator<CorpusModel, void, undefined> {
  for (const path of archives) yield* archiveModels(data, path);
  for (const entry of readdirSync(join(data, 'models'), { recursive: true, withFileTypes: true })) {
    if (!entry.name.endsWith('.onnx')) continue;
    const bytes = readFileSync(join(entry.parentPath, entry.name));
    yield { id: `models/${entry.name}`, archive: 'models', bytes, ok: undefined, inputs: [], beside: () => undefined };
  }
}

function* archiveModels(data: string, path: string): Generator<CorpusModel, void, undefined> {
  const archive = path.slice(path.lastIndexOf('/') + 1);
  const files = readTarGz(join(data, `${path}.tar.gz`));
  const verdict = verdicts(data, path, files);
  for (const [name, bytes] of files) {
    if (!name.endsWith('.onnx')) continue;
    const folder = name.slice(0, name.lastIndexOf('/') + 1);
    const inputs: Uint8Array[] = [];
    for (let k = 0; files.has(`${folder}test_data_set_0/input_${k}.pb`); k++) {
      inputs.push(files.get(`${folder}test_data_set_0/input_${k}.pb`)!);
    }
    yield { id: `${archive}/${name}`, archive, bytes, ok: verdict(name), inputs, beside: (location) => files.get(folder + location) };
  }
}

/** By test folder in `*_ort-baseline.json`, or by path in the FILES.tsv of the archive. */
function verdicts(data: string, path: string, files: ReadonlyMap<string, Buffer>): (name: string) => boolean | undefined {
  const table = files.get('FILES.tsv');
  if (table) {
    const rows = new Map(table.toString().split('\n').map((line) => line.split('\t')).map((cells) => [cells[0]!, cells.at(-1)!]));
    return (name) => (rows.has(name) ? rows.get(name) === 'ok' : undefined);
  }
  try {
    const baseline = JSON.parse(readFileSync(join(data, `${path}_ort-baseline.json`), 'utf8')) as Baseline;
    return (name) => {
      const row = baseline[name.split('/').at(-2) ?? ''];
      return row && row.ort_node_1_30_load === 'ok';
    };
  } catch {
    return () => undefined;
  }
}
