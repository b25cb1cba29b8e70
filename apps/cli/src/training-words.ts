/** Words for what the verbs that train have in common. */
import { names, numbers } from './options.js';
import { calibrationWords, excludeWord, inGroup, type StepWord } from './step-options.js';

const { scale, mean, std } = calibrationWords;

export const trainingWords = {
  ...inGroup('Data', {
    data: { flags: '--data <path>', help: 'what to learn from: text for language models; texts (.csv, .jsonl) with labels or in pairs (anchor, positive[, score]), pictures (IDX, a folder for each class) or arrays with labels for classifiers; PATH#FROM:TO takes a part', required: true },
    validation: { flags: '--validation <path>', help: 'what to measure on; the best measurement is the result (every 20th sample of the data when absent)' },
    leaveOut: { flags: '--leave-out <n>', help: 'instead: measure on every n-th sample, which is not learned from; 0 measures on nothing' },
    length: { flags: '--length <n>', help: 'tokens of a window of text (256 when absent), or the most of a text with a label (128)' },
    columns: { flags: '--columns <names>', help: 'columns of a .csv: that of the text, or those of numbers', parse: names },
    scale, mean, std,
  }),
  ...inGroup('How long', {
    steps: { flags: '--steps <n>', help: 'how long to train: steps; or epochs, or minutes, whichever comes first' },
    epochs: { flags: '--epochs <n>', help: 'passes over the data' },
    minutes: { flags: '--minutes <n>', help: 'minutes of training; the learning rate falls with the time' },
    patience: { flags: '--patience <n>', help: 'end after so many measurements that are no better' },
    validateEvery: { flags: '--validate-every <steps>', help: 'measure after so many steps (a twentieth of them when absent; 100 where minutes alone say how long)' },
    checkpointEvery: { flags: '--checkpoint-every <steps>', help: 'keep a checkpoint after so many steps (a minute when absent); --resume goes on from it to the same bits' },
  }),
  ...inGroup('Learning', {
    batch: { flags: '--batch <n>', help: 'samples of a step (8 windows of text, 32 of others when absent)' },
    accumulate: { flags: '--accumulate <n>', help: 'batches whose gradients are averaged for one step' },
    engines: { flags: '--engines <n>', help: 'engines that share each batch and average their gradients, each with its share of --threads (1 when absent)' },
    recompute: { flags: '--recompute', help: 'compute what lies between the blocks of the model twice instead of holding it: less memory, about a third more time' },
    optimizer: { flags: '--optimizer <name>', help: 'adamw when absent; muon trains matrices of hidden layers and leaves the rest to adamw' },
    rate: { flags: '--rate <f>', help: 'the highest learning rate (5e-4 when absent; muon 2e-3, or 0.02 from scratch)' },
    adamwRate: { flags: '--adamw-rate <f>', help: 'with muon: the highest rate of what it leaves to adamw: embeddings, first and last layers, vectors (0.15 of --rate when absent)' },
    schedule: { flags: '--schedule <name>', help: 'how the rate falls (cosine when absent)' },
    warmup: { flags: '--warmup <steps>', help: 'steps in which the rate rises (a twentieth of them when absent)' },
    weightDecay: { flags: '--weight-decay <f>', help: 'of matrices and kernels (0.01 when absent)' },
    betas: { flags: '--betas <f,f>', help: 'memory of adamw (0.9,0.95 when absent) or lion (0.9,0.99)', parse: numbers },
    momentum: { flags: '--momentum <f>', help: 'memory of sgd (0.9 when absent) or muon (0.95)' },
    clip: { flags: '--clip <f>', help: 'limit of the norm of the gradients (1 when absent, 0 for none)' },
    dropout: { flags: '--dropout <f>', help: 'share of what is added to residual streams, and of embeddings, that each step drops (none when absent)' },
    average: { flags: '--average <f>', help: 'keep a moving average of the weights with this memory (0.999), and give that' },
  }),
  ...inGroup('Weights', {
    trainable: { flags: '--trainable <name>', help: 'a weight to train, all when absent; /…/ is a pattern; may be repeated', repeat: true },
    exclude: excludeWord,
    zeros: { flags: '--zeros <what>', help: 'whether the zeros of pruned weights stay zeros (hold) or are trained (train). When absent they stay, but of integers only where rounding cannot have made them' },
    statistics: { flags: '--statistics <which>', help: 'what batch normalization goes by: stored statistics, which stay (when absent), or those of the batch (with --scratch), which move the stored ones' },
  }),
} as const satisfies Readonly<Record<string, StepWord>>;
