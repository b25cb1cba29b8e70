import { readFileSync } from 'node:fs';
import { check, memorySource, toDense } from '@penjing/core';
import { openTorchScript, openSafetensors } from '@penjing/graph-io';
import { referenceEngine } from '@penjing/core/reference';
import { test } from 'vitest';
test('b', async () => {
  for (const f of ['/tmp/b.pt','/tmp/bf.pt']) {
  try {
  const m = await openTorchScript(memorySource(readFileSync(f)), {inputs: [{dtype:'float32',shape:[3,4]}]});
  console.log(check(m), [...m.graph.nodes()].map(x=>x.opType).join(), m.graph.outputs.map(o=>o.name+JSON.stringify(o.type)).join());
  } catch (e) { console.log(f, e); }}
});
test('silero', async () => {
  try {
  const s = memorySource(readFileSync('/work/shared/data/models/silero-vad/silero_vad.jit'));
  const m = await openTorchScript(s, {module: '_model', inputs: [{dtype:'float32',shape:['n',576]},{dtype:'float32',shape:[2,'n',128]}]});
  console.log(check(m), [...m.graph.nodes()].map(x=>x.opType).join(), m.graph.outputs.map(o=>o.name+JSON.stringify(o.type)).join());
  const m2 = await openTorchScript(s, { inputs: [{dtype:'float32',shape:[1,512]},{value:16000}]});
  console.log(check(m2), [...m2.metadata], [...m2.graph.nodes()].map(x=>x.opType).join(), m2.graph.outputs.map(o=>o.name+JSON.stringify(o.type)).join());
  const t = await openSafetensors(memorySource(readFileSync('/work/shared/data/models/silero-vad/expected_probs_first20s.safetensors')));
  console.log([...t.tensors].map(([n,x])=>n+x.dtype+x.shape));
  } catch (e) { console.log(e); }
});
