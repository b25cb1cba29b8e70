/** Every verb, in the order of --help. */
import { apply } from './commands/apply.js';
import { batch } from './commands/batch.js';
import { bench } from './commands/bench.js';
import { chat } from './commands/chat.js';
import { client } from './commands/client.js';
import { cluster } from './commands/cluster.js';
import { compare } from './commands/compare.js';
import { convert } from './commands/convert.js';
import { deploy } from './commands/deploy.js';
import { distill } from './commands/distill.js';
import { doctor } from './commands/doctor.js';
import { evaluate } from './commands/eval.js';
import { finetune } from './commands/finetune.js';
import { generate } from './commands/generate.js';
import { inspect } from './commands/inspect.js';
import { lowrank } from './commands/lowrank.js';
import { plan } from './commands/plan.js';
import { prune } from './commands/prune.js';
import { quantize } from './commands/quantize.js';
import { run } from './commands/run.js';
import { serve } from './commands/serve.js';
import { simplify } from './commands/simplify.js';
import { split } from './commands/split.js';
import { squeeze } from './commands/squeeze.js';
import { worker } from './commands/worker.js';
import type { Command } from './command.js';

export const verbs: readonly Command[] = [inspect, convert, simplify, prune, lowrank, cluster, quantize, distill, finetune, squeeze, evaluate, compare, bench, plan, split, run, generate, chat, batch, worker, serve, deploy, client, apply, doctor];
