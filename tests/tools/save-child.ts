/** Child of resume.test.ts: waits for `go`, then saves a quantized checkpoint and tells every step, until it is killed. */
import { join } from 'node:path';
import { openSafetensors } from '@penjing/graph-io';
import { fileSource, saveLayouts } from '@penjing/graph-io/node';
import { plannedSave } from './planned-save.js';

const [, , folder = '', output = ''] = process.argv;
const layouts = plannedSave(await openSafetensors(await fileSource(join(folder, 'model.safetensors'))));
process.once('message', () => {
  void saveLayouts(output, layouts, { threads: 2, onProgress: ({ done, total }) => process.send!({ done, total }) }).then(
    () => process.exit(0),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.send!('ready');
