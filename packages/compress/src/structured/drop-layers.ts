/** Drops whole residual blocks: those that turn what passes through them the least. */
import { cloneModel, inferShapes, type Model, modelGraphs, Names, Node, type Pass, PenjingError, attribute, denseOf, tensorType, Value, type WeightRecord } from '@penjing/core';
import { calibrateBlocks } from '@penjing/core/calibrate';
import { type Layer, layerWeights, removeLayers, residualLayers } from '@penjing/core/rewrite';

export interface DropLayersOptions {
  /** Share of the layers that go. */
  readonly ratio: number;
}

/**
 * An eager pass. The importance of a layer is 1 − cos(in, out), on average over the rows of the samples (Men et al. 2024, "ShortGPT",
 * arXiv:2403.03853). A layer is an attention with the feed-forward part behind it, or a residual block without attention. Ports of
 * caches are numbered anew. Throws `E_DATA`, `E_ENGINE`, `E_NOTHING_TO_DO`.
 */
export function dropLayers({ ratio }: DropLayersOptions): Pass {
  return {
    name: `prune layers ${ratio}`,
    async run(model, { samples, jobs, ...task }) {
      if (!jobs) throw new PenjingError('E_ENGINE', 'layers are compared by running the model: a host for jobs is needed', { hint: 'Give `ortJobs()` of @penjing/runtime as `jobs`.' });
      if (!samples) throw new PenjingError('E_DATA', 'layers are chosen by what the model computes: samples are needed', { hint: 'Give --data FILE.' });
      inferShapes(model);
      const layers = residualLayers(model);
      const count = Math.min(layers.length - 1, Math.round(ratio * layers.length));
      if (count < 1) throw new PenjingError('E_NOTHING_TO_DO', `${ratio} of ${layers.length} layers is none`, { hint: 'Residual blocks with one input and one output of the same shape can be dropped; choose a larger --ratio.' });

      const copy = cloneModel(model);
      const probes = addProbes(copy, layers);
      const importance = new Map<number, number>();
      for await (const { block, gather } of calibrateBlocks(copy, { ...task, jobs, samples })) {
        for (const node of block.nodes) {
          const index = probes.get(node.output().name);
          if (index === undefined) continue;
          const gathered = await gather([{ value: node.output().name, statistic: 'gram' }]);
          if (gathered.broken(node.output().name) !== undefined) throw new PenjingError('E_DATA', `what passes through ${layers[index]!.output} is not finite`, { hint: 'Check the model and the calibration data.' });
          const { sums, rows } = gathered.statistic(node.output().name, 'gram');
          importance.set(index, 1 - sums[1]! / rows);
        }
      }
      const order = layers.map((_, i) => i).sort((i, j) => (importance.get(i) ?? 1) - (importance.get(j) ?? 1) || i - j);
      const dropped = order.slice(0, count).sort((i, j) => i - j);
      const records = dropped.flatMap((i) => recordsOf(layers[i]!, importance.get(i) ?? 1));
      removeLayers(model, layers, dropped);
      const described = dropped.map((i) => `${i + 1}`).join(', ');
      return { model, modified: true, records, warnings: [`layers dropped, of ${layers.length}: ${described}`], sizes: { layers: { before: layers.length, after: layers.length - count, kept: layers.flatMap((_, i) => (dropped.includes(i) ? [] : [i])) } } };
    },
  };
}

/** Adds [1, cos(in, out)] per row for each layer; gives the layer by the name of the value. */
function addProbes(copy: Model, layers: readonly Layer[]): Map<string, number> {
  const { graph } = copy;
  const names = new Names(modelGraphs(copy));
  const values = new Map([...graph.nodes()].flatMap((node) => node.outputs.map((value) => [value.name, value] as const)));
  const opset = copy.opsetImports.get('') ?? 17;
  const found = new Map<string, number>();
  const axis = graph.addInitializer(names.claim('probe_axis'), denseOf('int64', [1], [-1]));
  const one = graph.addInitializer(names.claim('probe_one'), denseOf('float32', [1], [1]));
  const tiny = graph.addInitializer(names.claim('probe_tiny'), denseOf('float32', [1], [1e-20]));
  for (const [i, layer] of layers.entries()) {
    const x = values.get(layer.input)!;
    const y = values.get(layer.output)!;
    let anchor = y.producer!;
    const op = (opType: string, inputs: Value[], attributes: Record<string, number> = {}): Value => {
      const value = new Value(names.claim(`${layer.output}_probe`), tensorType('float32'));
      const node = new Node(opType, inputs, [value], { name: names.claim(`${layer.output}_probe`), attributes: Object.entries(attributes).map(([key, number]) => [key, attribute.int(number)] as const) });
      anchor = graph.insertAfter(anchor, node);
      return value;
    };
    const sum = (value: Value): Value => {
      if (opset >= 13) return op('ReduceSum', [value, axis], { keepdims: 1 });
      const made = op('ReduceSum', [value], { keepdims: 1 });
      made.producer!.attributes.set('axes', { kind: 'ints', value: [-1n] });
      return made;
    };
    const [across, a, b] = [sum(op('Mul', [x, y])), sum(op('Mul', [x, x])), sum(op('Mul', [y, y]))];
    const cosine = op('Div', [across, op('Sqrt', [op('Add', [op('Mul', [a, b]), tiny])])]);
    const ones = op('Add', [op('Sub', [cosine, cosine]), one]);
    found.set(op('Concat', [ones, cosine], { axis: -1 }).name, i);
  }
  return found;
}

function recordsOf(layer: Layer, importance: number): WeightRecord[] {
  return layerWeights(layer).map(({ name, tensor }) => ({
    name, method: 'layer dropped', elements: tensor!.shape.reduce((product, size) => product * size, 1), bytesBefore: tensor!.byteLength, bytesAfter: 0, note: `1 − cos(in, out) = ${importance.toFixed(4)}`,
  }));
}
