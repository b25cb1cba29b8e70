/** The operators of a TFLite file as models of one operator each, so that each can be judged alone. */
import { type ByteSource, Graph, GraphBuilder, Model, tensorType } from '@penjing/core';
import { openTflite } from '../../packages/graph-io/src/tflite/open-tflite.js';
import { readOperator } from '../../packages/graph-io/src/tflite/read/operators/index.js';
import { type TfliteArithmetic, TfliteProgram } from '../../packages/graph-io/src/tflite/read/program.js';
import { TfliteValues } from '../../packages/graph-io/src/tflite/read/values.js';

export interface SingleOperator {
  /** Its inputs are named `tensor_N`. */
  readonly model: Model;
  /** Numbers of the computed tensors it takes. */
  readonly inputs: readonly number[];
  readonly output: number;
}

export async function singleOperators(source: ByteSource, arithmetic?: TfliteArithmetic): Promise<SingleOperator[]> {
  const file = await openTflite(source);
  const [subgraph] = file.subgraphs;
  const single: SingleOperator[] = [];
  for (const operator of subgraph!.operators) {
    const model = new Model(new Graph('single'));
    model.opsetImports.set('', 21);
    const builder = new GraphBuilder(model.graph);
    const values = new TfliteValues(builder, await TfliteProgram.load(file, builder, () => [], arithmetic), 0);
    const inputs = [...new Set(operator.inputs)].filter((index) => index >= 0 && values.constant(index) === undefined);
    for (const index of inputs) {
      const { dtype, shape } = values.tensor(index);
      values.input(index, values.builder.input(`tensor_${index}`, tensorType(dtype, shape)));
    }
    readOperator(values, operator);
    const output = operator.outputs[0]!;
    values.builder.output(values.stored(output), 'result', tensorType(values.tensor(output).dtype, values.tensor(output).shape));
    single.push({ model, inputs, output });
  }
  return single;
}
