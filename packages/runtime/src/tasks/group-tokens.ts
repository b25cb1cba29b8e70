/** Tokens with classes to spans of text: the aggregation strategies of transformers' token classification. */

export const aggregations = ['none', 'simple', 'first', 'average', 'max'] as const;
export type Aggregation = (typeof aggregations)[number];

export interface TextSpan {
  /** The class; without its B- or I- when tokens were joined. */
  readonly label: string;
  readonly score: number;
  /** `text.slice(start, end)` of the whole text. */
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

export interface TaggedToken {
  readonly token: string;
  readonly start: number;
  readonly end: number;
  /** Probabilities of the classes. */
  readonly scores: Float64Array;
  readonly unknown: boolean;
}

export interface GroupOptions {
  readonly aggregation: Aggregation;
  readonly labels: readonly string[];
  /** Tokens tell whether they go on with a word. */
  readonly wordAware: boolean;
}

type Tagged = Omit<TextSpan, 'text'>;

export function groupTokens(text: string, tokens: readonly TaggedToken[], { aggregation, labels, wordAware }: GroupOptions): TextSpan[] {
  const single = (part: readonly TaggedToken[], scores: Float64Array): Tagged => {
    const best = argmax(scores);
    return { label: labels[best]!, score: scores[best]!, start: part[0]!.start, end: part.at(-1)!.end };
  };
  const withText = (tagged: Tagged): TextSpan => ({ ...tagged, text: text.slice(tagged.start, tagged.end) });
  if (aggregation === 'none') return tokens.map((token) => withText(single([token], token.scores)));
  const units = aggregation === 'simple' ? tokens.map((token) => [token]) : wordsOf(text, tokens, wordAware);
  const agreed = units.map((unit) => single(unit, scoresOf(unit, aggregation)));
  return joined(agreed).map(withText);
}

/** A token that is longer or shorter than its text has a mark of going on; without such marks a word begins after a space. */
function wordsOf(text: string, tokens: readonly TaggedToken[], wordAware: boolean): TaggedToken[][] {
  const words: TaggedToken[][] = [];
  for (const token of tokens) {
    const goesOn = !token.unknown && (wordAware ? [...token.token].length !== [...text.slice(token.start, token.end)].length : token.start > 0 && !text.slice(token.start - 1, token.start + 1).includes(' '));
    if (goesOn && words.length > 0) words.at(-1)!.push(token);
    else words.push([token]);
  }
  return words;
}

function scoresOf(word: readonly TaggedToken[], aggregation: Aggregation): Float64Array {
  const [first] = word as [TaggedToken];
  if (aggregation === 'average') return first.scores.map((_, i) => word.reduce((sum, { scores }) => sum + scores[i]!, 0) / word.length);
  if (aggregation !== 'max') return first.scores;
  return word.reduce((best, token) => (token.scores[argmax(token.scores)]! > best.scores[argmax(best.scores)]! ? token : best), first).scores;
}

/** Neighbours of one class become one span; B- begins another. */
function joined(tagged: readonly Tagged[]): Tagged[] {
  const groups: Tagged[][] = [];
  for (const each of tagged) {
    const last = groups.at(-1)?.at(-1);
    const { begins, tag } = tagOf(each.label);
    if (last && tagOf(last.label).tag === tag && !begins) groups.at(-1)!.push(each);
    else groups.push([each]);
  }
  return groups.map((group) => {
    const [first] = group as [Tagged];
    const cut = first.label.indexOf('-');
    return {
      label: cut < 0 ? first.label : first.label.slice(cut + 1),
      score: group.reduce((sum, { score }) => sum + score, 0) / group.length,
      start: first.start,
      end: group.at(-1)!.end,
    };
  });
}

function tagOf(label: string): { readonly begins: boolean; readonly tag: string } {
  return /^[BI]-/.test(label) ? { begins: label.startsWith('B'), tag: label.slice(2) } : { begins: false, tag: label };
}

function argmax(values: Float64Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}
