/** JSON schemas as grammars that every text is valid by: a schema that cannot be held to exactly is refused, never loosened. */
import { literalText } from './char-set.js';
import { grammarError } from './grammar-error.js';
import { integerRange, MOST_DIGITS } from './integer-range.js';
import { anyJsonChar } from './regex-grammar.js';
import { otherNames, stringText } from './schema-strings.js';
import { allows, isObject, merged, type SchemaObject, type TypeName, typesOf, wordsOf } from './schema-words.js';

/** As much white space as models write: none, a space, or a new line with up to 10 levels of indentation. */
const WHITE_SPACE = '"" | " " | "\\n" [ \\t]{0,20}';
/** Nobody writes white space before colons and commas, and small models that may do it fill lines with it. */
const COLON = '":" " "?';
/** Finite, and exact enough. */
const [FRACTION, EXPONENT] = [`("." [0-9]{1,${MOST_DIGITS}})?`, '([eE] [+-]? [0-9]{1,2})?'];
/** Numbers of times that parts of a text occur; more states than this are another kind of constraint. */
const MOST_REPEATS = 10_000;
/** Schemas within schemas; each takes a piece of the stack. References do not count. */
const DEEPEST = 200;
/** Rules of a grammar; honest schemas have hundreds. */
const MOST_RULES = 20_000;

/** `schema` is parsed JSON. Objects are closed unless they say additionalProperties. Throws `E_GRAMMAR` naming the word and its place. */
export function schemaGrammar(schema: unknown): string {
  return new SchemaGrammar(schema).text();
}

class SchemaGrammar {
  readonly #document: unknown;
  readonly #rules = new Map<string, string>();
  /** Rules of parts of the document, by their places. */
  readonly #places = new Map<string, string>();
  #depth = 0;

  constructor(document: unknown) {
    this.#document = document;
  }

  text(): string {
    this.#rules.set('root', this.#schema(this.#document, '#', []));
    return [...this.#rules].map(([name, text]) => `${name} ::= ${text}\n`).join('');
  }

  #rule(hint: string, text: string): string {
    const name = `${hint}_${this.#rules.size}`;
    if (this.#rules.size >= MOST_RULES) throw grammarError(`the schema needs more than ${MOST_RULES} rules`);
    this.#rules.set(name, text);
    return name;
  }

  /** A rule that is written once. */
  #shared(name: string, text: () => string): string {
    if (!this.#rules.has(name)) {
      this.#rules.set(name, '');
      this.#rules.set(name, text());
    }
    return name;
  }

  get #white(): string {
    return this.#shared('ws', () => WHITE_SPACE);
  }

  /** An expression for a part of the document; `seen` are references that lead here without a step into the text. */
  #schema(schema: unknown, place: string, seen: readonly string[]): string {
    if (schema === true) return this.#any();
    if (schema === false) throw grammarError(`${place} is false, which nothing satisfies`);
    if (!isObject(schema)) throw grammarError(`${place} is ${JSON.stringify(schema)?.slice(0, 40)}; a schema is an object, true or false`);
    if (++this.#depth > DEEPEST) throw grammarError(`the schema has more than ${DEEPEST} parts within each other`);
    try {
      return this.#words(wordsOf(schema, place), place, seen);
    } finally {
      this.#depth--;
    }
  }

  #words(words: SchemaObject, place: string, seen: readonly string[]): string {
    const { $ref, allOf, anyOf } = words;
    const branches = (word: string, value: unknown): readonly unknown[] => {
      if (!Array.isArray(value) || value.length === 0) throw grammarError(`${place}/${word} must be a list of schemas`);
      return value as unknown[];
    };
    if ($ref !== undefined) {
      const target = this.#find($ref, place);
      if (seen.includes(target.place)) throw grammarError(`${place} refers to itself without end`);
      if (Object.keys(words).length === 1) return this.#placed(target.schema, target.place, seen);
      return this.#schema(this.#joined([{ ...words, $ref: undefined }, target.schema], place), place, [...seen, target.place]);
    }
    if (allOf !== undefined) return this.#schema(this.#joined([{ ...words, allOf: undefined }, ...branches('allOf', allOf)], place), place, seen);
    const word = anyOf !== undefined ? 'anyOf' : 'oneOf';
    if (words[word] === undefined) return this.#plain(words, place);
    const alone = Object.keys(words).length === 1 && word === 'anyOf';
    // What stands beside the choice is said of each branch.
    const whole = branches(word, words[word]).map((branch, i) => (alone ? branch : this.#joined([{ ...words, [word]: undefined }, branch], `${place}/${word}/${i}`)));
    if (word === 'oneOf') this.#checkApart(whole, place);
    return choice(whole.map((schema, i) => this.#schema(schema, `${place}/${word}/${i}`, seen)));
  }

  /** One schema of several, references resolved. */
  #joined(schemas: readonly unknown[], place: string): unknown {
    let out: SchemaObject = {};
    for (let schema of schemas) {
      for (let hops = 0; isObject(schema) && typeof schema['$ref'] === 'string'; hops++) {
        if (hops > DEEPEST) throw grammarError(`${place} refers to itself without end`);
        const { $ref, ...rest } = schema;
        const { schema: target, place: at } = this.#find($ref, place);
        schema = Object.keys(wordsOf(rest, place)).length === 0 ? target : isObject(target) ? merged(wordsOf(rest, place), wordsOf(target, at), place) : target;
      }
      if (schema === true) continue;
      if (!isObject(schema)) return schema;
      const present = Object.fromEntries(Object.entries(schema).filter(([, value]) => value !== undefined));
      out = merged(out, wordsOf(present, place), place);
    }
    return out;
  }

  #find(reference: unknown, place: string): { readonly schema: unknown; readonly place: string } {
    if (typeof reference !== 'string' || !/^#(\/|$)/.test(reference)) throw grammarError(`${place} refers to ${JSON.stringify(reference)}; references must be into the schema itself, as #/$defs/name`, 'Put what it refers to under $defs.');
    let schema = this.#document;
    for (const part of reference.slice(1).split('/').slice(1)) {
      const name = safeDecode(part).replaceAll('~1', '/').replaceAll('~0', '~');
      schema = (isObject(schema) || Array.isArray(schema)) && Object.hasOwn(schema, name) ? (schema as SchemaObject)[name] : undefined;
    }
    if (schema === undefined) throw grammarError(`${place} refers to ${reference}, which is not there`);
    return { schema, place: reference };
  }

  /** The rule of a part that is referred to, so that schemas may contain themselves. */
  #placed(schema: unknown, place: string, seen: readonly string[]): string {
    const known = this.#places.get(place);
    if (known !== undefined) return known;
    const name = this.#rule('ref', '');
    this.#places.set(place, name);
    const depth = this.#depth;
    this.#depth = 0;
    this.#rules.set(name, this.#schema(schema, place, [...seen, place]));
    this.#depth = depth;
    return name;
  }

  /** `oneOf` is more than a choice: what fits one branch must fit no other. */
  #checkApart(branches: readonly unknown[], place: string): void {
    const names = (schema: SchemaObject): readonly string[] | undefined => ('const' in schema ? [JSON.stringify(schema['const'])] : Array.isArray(schema['enum']) ? schema['enum'].map((value) => JSON.stringify(value)) : undefined);
    const apart = (a: unknown, b: unknown): boolean => {
      const [one, other] = [this.#joined([a], place), this.#joined([b], place)];
      if (!isObject(one) || !isObject(other)) return one === false || other === false;
      const [left, right] = [names(one), names(other)];
      if (left && right) return !left.some((value) => right.includes(value));
      if (!typesOf(one, place).some((name) => allows(typesOf(other, place), name)) && !typesOf(other, place).some((name) => allows(typesOf(one, place), name))) return true;
      const tags = (schema: SchemaObject): SchemaObject => Object.fromEntries(Object.entries(isObject(schema['properties']) ? schema['properties'] : {}).filter(([name]) => Array.isArray(schema['required']) && schema['required'].includes(name)));
      const [ours, theirs] = [tags(one), tags(other)];
      // A property that both need and that says which one it is.
      return Object.keys(ours).some((name) => Object.hasOwn(theirs, name) && apart(ours[name], theirs[name]));
    };
    branches.forEach((branch, i) => {
      const same = branches.findIndex((other, j) => j > i && !apart(branch, other));
      if (same >= 0) throw grammarError(`${place}/oneOf/${i} and ${same} are not plainly apart, so a text could fit both`, 'Use anyOf, or give both a required property with different const values.');
    });
  }

  #plain(words: SchemaObject, place: string): string {
    const types = typesOf(words, place);
    const values = 'const' in words ? [words['const']] : words['enum'];
    if (values !== undefined) return this.#values(values, words, types, place);
    if (Object.keys(words).length === 0) return this.#any();
    if (types.length === 0) throw grammarError(`${place} allows no type`);
    return choice(types.map((name) => this.#typed(name, words, place)));
  }

  #values(values: unknown, words: SchemaObject, types: readonly TypeName[], place: string): string {
    const others = Object.keys(words).filter((word) => !['enum', 'const', 'type'].includes(word));
    if (others.length > 0 || ('const' in words && 'enum' in words)) throw grammarError(`${place} lists values and says ${others[0] ?? 'both const and enum'}`, 'Leave out values that do not fit.');
    if (!Array.isArray(values)) throw grammarError(`${place}/enum must be a list`);
    const fitting = values.filter((value) => !('type' in words) || types.some((name) => allows([name], typeOf(value))));
    if (fitting.length === 0) throw grammarError(`${place} lists no value that fits its type`);
    return choice(fitting.map((value) => literalText(JSON.stringify(value))));
  }

  #typed(name: TypeName, words: SchemaObject, place: string): string {
    if (name === 'null') return '"null"';
    if (name === 'boolean') return '("true" | "false")';
    if (name === 'object') return this.#object(words, place);
    if (name === 'array') return this.#array(words, place);
    if (name === 'string') {
      const text = (word: string): string | undefined => optional(words[word], 'a text', (value) => typeof value === 'string', `${place}/${word}`) as string | undefined;
      const limits = { minLength: count(words, 'minLength', place), maxLength: count(words, 'maxLength', place), pattern: text('pattern'), format: text('format') };
      return Object.values(limits).every((limit) => limit === undefined) ? this.#string() : this.#rule('string', stringText(limits, place));
    }
    return this.#number(name, words, place);
  }

  #number(name: 'number' | 'integer', words: SchemaObject, place: string): string {
    const limit = (word: string): number | undefined => optional(words[word], 'a number', (value) => Number.isFinite(value), `${place}/${word}`) as number | undefined;
    const [least, most, above, below] = [limit('minimum'), limit('maximum'), limit('exclusiveMinimum'), limit('exclusiveMaximum')];
    const limits = [least, most, above, below].filter((value) => value !== undefined);
    if (limits.length === 0 && name === 'number') return this.#shared('number', () => `"-"? ("0" | [1-9] [0-9]{0,${MOST_DIGITS - 1}}) ${FRACTION} ${EXPONENT}`);
    if (limits.some((value) => Math.abs(value) > Number.MAX_SAFE_INTEGER)) throw grammarError(`${place} limits a number by more than 2^53 - 1`);
    const whole = (value: number | undefined, round: (value: number) => number): bigint | undefined => (value === undefined ? undefined : BigInt(round(value)));
    const none = (): never => {
      throw grammarError(`${place} allows no number`);
    };
    if (name === 'integer') {
      const low = highest(whole(least, Math.ceil), whole(above, (value) => Math.floor(value) + 1));
      return this.#rule('integer', integerRange(low, lowest(whole(most, Math.floor), whole(below, (value) => Math.ceil(value) - 1))) ?? none());
    }
    if (limits.some((value) => !Number.isInteger(value))) throw grammarError(`${place} limits a number by ${limits.find((value) => !Number.isInteger(value))}, and only whole limits are held to`, 'Use whole numbers as limits, or type integer.');
    return this.#rule('number', decimals(highest(whole(least, Number), whole(above, Number)), lowest(whole(most, Number), whole(below, Number)), { openLow: above !== undefined && above >= (least ?? above), openHigh: below !== undefined && below <= (most ?? below) }) ?? none());
  }

  #array(words: SchemaObject, place: string): string {
    const [least = 0, most] = [count(words, 'minItems', place), count(words, 'maxItems', place)];
    const first = optional(words['prefixItems'], 'a list of schemas', Array.isArray, `${place}/prefixItems`) as readonly unknown[] | undefined ?? [];
    const { items = true } = words;
    if (Array.isArray(items)) throw grammarError(`${place}/items is a list`, 'Write prefixItems, as JSON Schema has it since 2020.');
    if (most !== undefined && most < Math.max(least, first.length)) throw grammarError(`${place} allows at most ${most} items and wants ${Math.max(least, first.length)}`);
    const comma = `"," ${this.#white}`;
    const parts = first.map((schema, i) => this.#schema(schema, `${place}/prefixItems/${i}`, []));
    const [needed, free] = [Math.max(0, least - first.length), most === undefined ? undefined : most - first.length];
    if (items === false && needed > 0) throw grammarError(`${place} wants ${least} items and allows ${first.length}`);
    const open = items !== false && free !== 0;
    if (!open) return parts.length === 0 ? '"[" "]"' : `"[" ${this.#white} ${parts.join(` ${comma} `)} ${this.#white} "]"`;
    const item = this.#rule('item', this.#schema(items, `${place}/items`, []));
    if (parts.length > 0) return `"[" ${this.#white} ${parts.join(` ${comma} `)} (${comma} ${item}){${needed},${free ?? ''}} ${this.#white} "]"`;
    const full = `"[" ${this.#white} ${item} (${comma} ${item}){${Math.max(0, needed - 1)},${free === undefined ? '' : free - 1}} ${this.#white} "]"`;
    return needed > 0 ? full : `("[" ${this.#white} "]" | ${full})`;
  }

  #object(words: SchemaObject, place: string): string {
    const declared = (optional(words['properties'], 'an object', isObject, `${place}/properties`) ?? {}) as SchemaObject;
    const required = (optional(words['required'], 'a list of names', (value) => Array.isArray(value) && value.every((name) => typeof name === 'string'), `${place}/required`) ?? []) as readonly string[];
    const others = words['additionalProperties'] ?? !('properties' in words);
    const undeclared = required.filter((name) => !Object.hasOwn(declared, name));
    if (undeclared.length > 0 && others === false) throw grammarError(`${place} requires ${JSON.stringify(undeclared[0])}, which is no property of it`, 'Declare it under properties.');
    const members = [...Object.entries(declared).map(([name, schema]) => ({ name, schema, at: `${place}/properties/${name}` })), ...undeclared.map((name) => ({ name, schema: others, at: `${place}/additionalProperties` }))];
    const [least = 0, most = Infinity] = [count(words, 'minProperties', place), count(words, 'maxProperties', place)];
    if (least > required.length || most < members.length || (most < Infinity && others !== false)) throw grammarError(`${place} counts properties, which generation cannot be held to`, 'Require properties by name.');
    const [white, colon] = [this.#white, COLON];
    const pairs = members.map(({ name, schema, at }) => ({ needed: required.includes(name), text: this.#rule('pair', `${literalText(JSON.stringify(name))} ${colon} ${this.#schema(schema, at, [])}`) }));
    const comma = `"," ${white}`;
    let [rest, more] = ['""', '""'];
    if (others !== false) {
      const key = members.length === 0 ? this.#string() : otherNames(members.map(({ name }) => name), (hint, text) => this.#rule(hint, text));
      const pair = this.#rule('pair', `${key} ${colon} ${this.#schema(others, `${place}/additionalProperties`, [])}`);
      [rest, more] = [this.#rule('more', `(${comma} ${pair})*`), this.#rule('first', `${pair} (${comma} ${pair})*`)];
    }
    // Backwards: what may follow a pair (`rest`, each with its comma), and what the members that are left may begin with (`more`).
    let empty = true;
    for (const { needed, text } of pairs.reverse()) {
      const begin = `${text} ${rest}`;
      more = this.#rule('members', needed || more === '""' ? begin : `${begin} | ${more}`);
      rest = this.#rule('rest', needed ? `${comma} ${begin}` : `${comma} ${begin} | ${rest}`);
      empty &&= !needed;
    }
    const full = more === '""' ? undefined : `"{" ${white} ${more} ${white} "}"`;
    return full === undefined ? '"{" "}"' : empty ? `("{" ${white} "}" | ${full})` : full;
  }

  #string(): string {
    return this.#shared('string', () => `"\\"" ${anyJsonChar}* "\\""`);
  }

  #any(): string {
    return this.#shared('any', () => choice(typesOf({}, '#').map((name) => this.#typed(name, name === 'object' ? { additionalProperties: true } : {}, '#'))));
  }
}

const choice = (parts: readonly string[]): string => (parts.length === 1 ? parts[0]! : `(${parts.join(' | ')})`);
const highest = (a: bigint | undefined, b: bigint | undefined): bigint | undefined => (a === undefined || (b !== undefined && b > a) ? b : a);
const lowest = (a: bigint | undefined, b: bigint | undefined): bigint | undefined => (a === undefined || (b !== undefined && b < a) ? b : a);

/** Numbers with fractions between whole limits. */
function decimals(low: bigint | undefined, high: bigint | undefined, { openLow, openHigh }: { readonly openLow: boolean; readonly openHigh: boolean }): string | undefined {
  const parts: string[] = [];
  // Sizes from `from` on and below `to`, the end itself where it is not left out; the same on both sides of 0.
  const sizes = (from: bigint, to: bigint | undefined, openFrom: boolean, openTo: boolean, sign: string): void => {
    const whole = integerRange(openFrom ? from + 1n : from, to === undefined ? undefined : to - 1n);
    if (whole !== undefined) parts.push(`${sign}${whole} ${FRACTION}`);
    if (openFrom && (to === undefined || from < to)) parts.push(`${sign}"${from}" "." [0-9]{0,${MOST_DIGITS - 1}} [1-9]`);
    if (to !== undefined && !openTo && !(openFrom && from === to)) parts.push(`${sign}"${to}"`);
  };
  if (low !== undefined && high !== undefined && low > high) return undefined;
  if (low === undefined || low < 0n) sizes(high !== undefined && high < 0n ? -high : 0n, low === undefined ? undefined : -low, high !== undefined && high <= 0n ? (high === 0n ? true : openHigh) : true, openLow, '"-" ');
  if (high === undefined || high >= 0n) sizes(low !== undefined && low > 0n ? low : 0n, high, low !== undefined && low >= 0n && openLow, openHigh, '');
  return parts.length === 0 ? undefined : choice(parts);
}

function typeOf(value: unknown): TypeName {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return Number.isInteger(value) ? 'integer' : (typeof value as TypeName);
}

function optional(value: unknown, what: string, fits: (value: unknown) => boolean, place: string): unknown {
  if (value !== undefined && !fits(value)) throw grammarError(`${place} must be ${what}`);
  return value;
}

function count(words: SchemaObject, word: string, place: string): number | undefined {
  return optional(words[word], `a whole number from 0 to ${MOST_REPEATS}`, (value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MOST_REPEATS, `${place}/${word}`) as number | undefined;
}

function safeDecode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
