/** Entry of a grammar thread: compiles one grammar at a time and says which tokens may follow, for any number of texts. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { isPenjingError, type PlainError, toPlainError } from '@penjing/core';
import type { GrammarSource } from './constraint.js';
import { spellClasses } from './ebnf-classes.js';
import { grammarError } from './grammar-error.js';
import type { GrammarReply, GrammarRequest } from './grammar-protocol.js';
import { MaskCells } from './mask-cells.js';
import { regexGrammar } from './regex-grammar.js';
import { schemaGrammar } from './schema-grammar.js';
import { readVocabulary } from './vocabulary.js';
import { type CompiledGrammar, type GrammarMatcher, loadXGrammar } from './xgrammar.js';

const port = parentPort!;
const tell = (reply: GrammarReply): void => port.postMessage(reply);
const { folder } = workerData as { readonly folder: string };

let said = '';
const library = loadXGrammar((message) => (said += `${message}\n`));
/** Ids up to this are tokens; the next one stands for "the text may end", whatever tokens end it. */
let end = 0;
const compiler = prepare();
let compiled: { readonly key: string; readonly grammar: CompiledGrammar } | undefined;

async function prepare(): ReturnType<typeof library.GrammarCompiler.createGrammarCompiler> {
  const { tokens, type } = readVocabulary(JSON.parse(await readFile(join(folder, 'tokenizer.json'), 'utf8')) as unknown);
  end = tokens.length;
  const info = await library.TokenizerInfo.createTokenizerInfo([...tokens, ''], type, false, end + 1, [end]);
  return library.GrammarCompiler.createGrammarCompiler(info, false);
}

const TO_GRAMMAR: Readonly<Record<GrammarSource['kind'], (text: string) => string>> = {
  schema: (text) => schemaGrammar(JSON.parse(text)),
  regex: regexGrammar,
  grammar: spellClasses,
};

async function compile({ kind, text }: GrammarSource): Promise<CompiledGrammar> {
  const key = `${kind} ${text}`;
  if (compiled?.key === key) return compiled.grammar;
  compiled?.grammar.dispose();
  compiled = undefined;
  const ebnf = TO_GRAMMAR[kind](text);
  const grammar = await (await compiler).compileGrammar(ebnf);
  compiled = { key, grammar };
  return grammar;
}

/** What follows the tokens of one text. */
async function follow(grammar: CompiledGrammar, tokens: MessagePort): Promise<SharedArrayBuffer> {
  const matcher = await library.GrammarMatcher.createGrammarMatcher(grammar);
  const cells = MaskCells.of(end);
  let step = 0;
  await write(cells, matcher, step);
  let work = Promise.resolve();
  tokens.on('message', (token: number) => {
    work = work.then(async () => {
      try {
        if (!matcher.acceptToken(token)) throw new Error(`token ${token} does not fit`);
        await write(cells, matcher, ++step);
      } catch (error) {
        const known = failure(error, 'the grammar cannot be followed');
        cells.fail(known.message);
        tell({ error: known, broken: true });
      }
    });
  });
  tokens.on('close', () => void work.then(() => matcher.dispose()));
  return cells.buffer;
}

async function write(cells: MaskCells, matcher: GrammarMatcher, step: number): Promise<void> {
  const mask = await matcher.getNextTokenBitmask();
  const mayEnd = ((mask[end >> 5]! >>> (end & 31)) & 1) === 1;
  const words = mask.slice(0, Math.ceil(end / 32));
  // Bits behind the last token may be set.
  if (end & 31) words[end >> 5]! &= (1 << (end & 31)) - 1;
  cells.write(step, { words, mayEnd, open: words.some((word) => word !== 0) });
}

/** The library prints why it stops, and where in the grammar. */
function failure(error: unknown, what: string): PlainError {
  if (isPenjingError(error)) return toPlainError(error, 'E_ENGINE');
  const printed = /(?:EBNF|Check failed)[^\n]*/.exec(said)?.[0];
  const message = error instanceof Error ? error.message : String(error);
  return toPlainError(grammarError(`${what}: ${printed ?? (error instanceof RangeError ? 'it is too deep or too large' : message)}`, 'Make the grammar smaller, or check its syntax: rules are written name ::= expression, the first is root.'), 'E_ENGINE');
}

port.on('message', (request: GrammarRequest) => {
  if ('ping' in request) {
    tell({ id: request.ping });
    return;
  }
  const { open: id, source, port: tokens } = request;
  void (async () => {
    said = '';
    try {
      tell({ id, cells: await follow(await compile(source), tokens) });
    } catch (error) {
      tokens.close();
      tell({ id, error: failure(error, 'the grammar cannot be compiled'), broken: !isPenjingError(error) });
    }
  })();
});
compiler.then(() => tell({ ready: true }), (error: unknown) => tell({ error: failure(error, 'the tokenizer cannot be used for grammars'), broken: true }));
