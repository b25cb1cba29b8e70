/** XGrammar (Dong et al. 2024), compiled to WebAssembly: masks of the tokens that a grammar allows. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

/** What is used of the library. */
export interface XGrammar {
  readonly TokenizerInfo: { createTokenizerInfo(vocabulary: readonly string[], type: string, prefixSpace: boolean, size: number, stopTokens: readonly number[]): Promise<TokenizerInfo> };
  readonly GrammarCompiler: { createGrammarCompiler(info: TokenizerInfo, cached: boolean): Promise<{ compileGrammar(ebnf: string): Promise<CompiledGrammar> }> };
  readonly GrammarMatcher: { createGrammarMatcher(grammar: CompiledGrammar): Promise<GrammarMatcher> };
}
export interface TokenizerInfo {
  dispose(): void;
}
export interface CompiledGrammar {
  dispose(): void;
}
export interface GrammarMatcher {
  acceptToken(token: number): boolean;
  getNextTokenBitmask(): Promise<Int32Array>;
  dispose(): void;
}

/** WebAssembly memory that one grammar may take: what honest ones need is far less, and the library itself would take 2 GiB. */
const MOST_BYTES = 512 * 2 ** 20;

/**
 * The library is a browser script in a package that says it is an ES module, so neither `import` nor `require` gives its names: it is run as the CommonJS module that it also is.
 * `onMessage` gets what it prints; it stops its WebAssembly for good with each error. For a thread of its own alone: memory of all WebAssembly in it is limited.
 */
export function loadXGrammar(onMessage: (message: string) => void): XGrammar {
  const require = createRequire(import.meta.url);
  const path = require.resolve('@mlc-ai/web-xgrammar');
  const grow: (this: WebAssembly.Memory, pages: number) => number = Reflect.get(WebAssembly.Memory.prototype, 'grow');
  WebAssembly.Memory.prototype.grow = function limited(pages) {
    if (this.buffer.byteLength + pages * 65_536 > MOST_BYTES) throw new RangeError('the grammar needs too much memory');
    return grow.call(this, pages);
  };
  const module = { exports: {} };
  const print = (...words: unknown[]): void => onMessage(words.join(' '));
  const silent = { log: print, info: print, warn: print, error: print };
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- a dependency's own file, read from where Node resolves it
  const run = new Function('exports', 'module', 'require', '__filename', 'console', readFileSync(path, 'utf8')) as (...values: unknown[]) => void;
  run(module.exports, module, require, path, silent);
  return module.exports as XGrammar;
}
