/** `tokenizer.model` and `spiece.model`: the ModelProto of SentencePiece, by the numbers of sentencepiece_model.proto. */
import { PenjingError } from '@penjing/core';
import { onnxLimits, tokenizerLimits } from '../limits.js';
import { Budget, decodeFields, newReader, type WireFormat } from '../onnx/decode.js';
import { type AnyMessage, bytes, defineMessage, type Extra, float, int, many, message, type Schema, string } from '../onnx/message.js';
import { readCharsmap } from './charsmap.js';
import { checkPieces, type Piece, pieceKind } from './pieces.js';

interface PieceProto extends Extra { piece?: string; score?: number; type?: number }

interface TrainerProto extends Extra {
  modelType?: number;
  suffix?: number;
  byteFallback?: number;
  unknown?: number;
  begin?: number;
  end?: number;
  padding?: number;
}

interface NormalizerProto extends Extra { charsmap?: Uint8Array; dummyPrefix?: number; removeExtra?: number; escape?: number }
interface ModelProto extends Extra { pieces?: PieceProto[]; trainer?: TrainerProto; normalizer?: NormalizerProto }

const pieceSchema: Schema<PieceProto> = defineMessage('SentencePiece', { piece: string(1), score: float(2), type: int(3) });
const trainerSchema: Schema<TrainerProto> = defineMessage('TrainerSpec', {
  modelType: int(3), suffix: int(24), byteFallback: int(35), unknown: int(40), begin: int(41), end: int(42), padding: int(43),
});
const normalizerSchema: Schema<NormalizerProto> = defineMessage('NormalizerSpec', {
  charsmap: bytes(2), dummyPrefix: int(3), removeExtra: int(4), escape: int(5),
});
const modelSchema: Schema<ModelProto> = defineMessage('ModelProto', {
  pieces: many(message(1, () => pieceSchema)), trainer: message(2, () => trainerSchema), normalizer: message(3, () => normalizerSchema),
});

const format: WireFormat = { code: 'E_TOKENIZER', name: 'SentencePiece model' };

const ALGORITHMS = { 1: 'unigram', 2: 'bpe' } as const;

export interface SentencePieceModel {
  readonly pieces: readonly Piece[];
  readonly algorithm: 'bpe' | 'unigram';
  readonly byteFallback: boolean;
  readonly dummyPrefix: boolean;
  readonly removeExtraWhitespaces: boolean;
  readonly charsmap: Uint8Array | undefined;
  /** Ids of pieces. */
  readonly unknown: number;
  readonly begin: number | undefined;
  readonly end: number | undefined;
  readonly padding: number | undefined;
}

/** Throws `E_TOKENIZER` for bytes that are no such model or one whose rules tokenizer.json cannot say, `E_LIMIT`. */
export function readSentencePiece(file: Uint8Array): SentencePieceModel {
  if (file.length > tokenizerLimits.modelBytes) throw new PenjingError('E_LIMIT', `a SentencePiece model of ${file.length} bytes is larger than any`);
  const target: AnyMessage = {};
  decodeFields(modelSchema, target, { reader: newReader(file), base: 0, budget: new Budget(onnxLimits, format) }, 0);
  const { pieces: protos = [], trainer = {}, normalizer = {} } = target as ModelProto;
  const pieces = protos.map(({ piece = '', score = 0, type = 1 }, id): Piece => {
    const kind = pieceKind(type);
    if (!kind) throw new PenjingError('E_TOKENIZER', `piece ${id} of the SentencePiece model has the unknown type ${type}`);
    if (!Number.isFinite(score)) throw new PenjingError('E_TOKENIZER', `piece ${id} of the SentencePiece model has the score ${score}`);
    return { text: piece, score, kind };
  });
  checkPieces(pieces.map(({ text }) => text));
  const { modelType = 1 } = trainer;
  if (modelType !== 1 && modelType !== 2) throw unsupported(`model type ${modelType}`, 'Only Unigram and BPE models become a tokenizer.json.');
  if (trainer.suffix === 1) throw unsupported('treat_whitespace_as_suffix', 'No client knows spaces at the end of words.');
  if (normalizer.escape === 0) throw unsupported('escape_whitespaces false', 'No client knows pieces with plain spaces.');
  const idOf = (id: number): number | undefined => (id >= 0 && id < pieces.length ? id : undefined);
  const unknown = idOf(trainer.unknown ?? 0);
  if (unknown === undefined) throw new PenjingError('E_TOKENIZER', `the SentencePiece model has no piece ${trainer.unknown}, which is its unk_id`);
  const charsmap = normalizer.charsmap?.length ? normalizer.charsmap : undefined;
  if (charsmap) readCharsmap(charsmap);
  return {
    pieces,
    algorithm: ALGORITHMS[modelType],
    byteFallback: trainer.byteFallback === 1,
    dummyPrefix: normalizer.dummyPrefix !== 0,
    removeExtraWhitespaces: normalizer.removeExtra !== 0,
    charsmap,
    unknown,
    begin: idOf(trainer.begin ?? 1),
    end: idOf(trainer.end ?? 2),
    padding: idOf(trainer.padding ?? -1),
  };
}

function unsupported(what: string, hint: string): PenjingError {
  return new PenjingError('E_TOKENIZER', `the SentencePiece model uses ${what}, which tokenizer.json cannot express`, { hint });
}
