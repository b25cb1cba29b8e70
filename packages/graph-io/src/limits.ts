/** Every cap on what a file may ask for, each with its reason; a reader takes overrides for all of them. */

export interface OnnxLimits {
  /** Nested messages. protobuf itself stops at 100 by default, so no runtime opens a deeper file. */
  readonly nesting: number;
  /** Messages in a file. An empty one takes 2 bytes on disk and some 200 in memory; the largest exports have ~1 M. */
  readonly messages: number;
  /** Boxed numbers and strings in a file (attribute lists, dimensions, names). Tree ensembles reach a few million. */
  readonly scalars: number;
  /** Bytes of one field that must be held in memory to be understood (varint-coded data, unknown fields, long texts). */
  readonly fieldBytes: number;
  /** Dimensions of a tensor. ONNX Runtime and NumPy work below 64. */
  readonly rank: number;
  /** Bytes of the path of an external data file. PATH_MAX of Linux. */
  readonly locationBytes: number;
  /** External data files of a model. Exporters write one, or one per tensor. */
  readonly externalFiles: number;
}

export const onnxLimits: OnnxLimits = {
  nesting: 100,
  messages: 1 << 22,
  scalars: 1 << 25,
  fieldBytes: 1 << 28,
  rank: 255,
  locationBytes: 4096,
  externalFiles: 1 << 16,
};

/** Payloads above this stay on disk: below it a range on disk costs more memory and time than the bytes. */
export const LAZY_ABOVE_BYTES = 1024;

/** Messages up to this are decoded from one read; larger ones are walked field by field, stepping over payloads. */
export const DECODE_AT_ONCE_BYTES = 16 * 1024;

/** First read after a jump; doubles while reading on, up to the larger one. A jump per tensor must stay cheap. */
export const WINDOW_BYTES = { first: 16 * 1024, last: 1024 * 1024 } as const;

/** A protobuf message must be smaller than 2 GiB: its sizes are int32 in every reader. */
export const MAX_PROTO_BYTES = 2 ** 31 - 1;

/**
 * Tensors move to an external data file when together they take more than this: half of protobuf's limit, so that
 * the file can still grow, while everything below stays one file (browsers and most tools prefer that).
 */
export const EXTERNAL_ABOVE_BYTES = 2 ** 30;

/** Smaller tensors stay inside: shape inference reads them, and a page per scalar would be waste. As `onnx` does. */
export const EXTERNAL_MIN_BYTES = 1024;

/**
 * Lists of integers up to this stay inside too: shape inference of ONNX Runtime reads shapes, pads and axes and cannot
 * reach external data ("Cannot parse data from external tensors"). Two numbers for each of 255 dimensions fit.
 */
export const EXTERNAL_MIN_INTEGER_LIST_BYTES = 4096;

/** External tensors start on pages, so that they can be memory-mapped. The onnx specification recommends it. */
export const EXTERNAL_ALIGNMENT = 4096;

/** Dense tensors up to this are copied into the header bytes of a layout; larger ones are pieces of their own. */
export const INLINE_PIECE_BYTES = 4096;

export const safetensorsLimits = {
  /** Bytes of a header, or of an index of shards. The reference implementation stops at the same size. */
  headerBytes: 100_000_000,
  /** Dimensions of a tensor, as for ONNX. */
  rank: 255,
  /** Files of one checkpoint. The largest published ones have a few hundred. */
  shards: 1 << 14,
} as const;

export const zipLimits = {
  /** Entries of an archive. torch writes one per storage; the largest models have some 20,000 tensors. */
  entries: 1 << 18,
  /** Bytes of the central directory: 256 for each of those entries. */
  directoryBytes: 1 << 26,
  /** Bytes of an entry read whole, after inflating: pickles, JSON, code. Weights are read by range and have no limit. */
  entryBytes: 1 << 26,
} as const;

export const tarLimits = {
  /** Members of an archive. torch wrote four. */
  members: 1 << 10,
  /** Dimensions of a tensor: torch itself stops at 64. */
  rank: 64,
} as const;

export const pickleLimits = {
  /** Bytes of one pickle. That of a checkpoint with 100,000 tensors takes some 10 MB; weights stand outside. */
  bytes: 1 << 26,
  /** Values made while reading: some 45 for each tensor, so 90,000 tensors. Each takes up to 100 bytes of memory. */
  values: 1 << 22,
  /** Values on the stack at once. Picklers write the items of a list or dict 1,000 at a time. */
  stack: 1 << 20,
  /** Containers begun and not ended. CPython's pickler gives up at some 1,000. */
  marks: 1 << 16,
  /** Bytes of an integer. torch's magic number takes 10. */
  integerBytes: 256,
  /** Dimensions of a tensor: torch itself stops at 64. */
  rank: 64,
  /** Containers and modules inside each other, when names are made of them. */
  nesting: 64,
  /** Values met when names are made: a value that stands in several places counts each time, so bombs end here. */
  visits: 1 << 22,
  /** Elements of a view that no slice or transpose expresses; each is one index. */
  gathered: 1 << 17,
} as const;

export const ggufLimits = {
  /** Bytes before the tensor data. Vocabularies of 256 K tokens with merges and scores take some 16 MB. */
  headerBytes: 2 ** 27,
  /** Values in the metadata, elements of arrays counted: a byte on disk may become a number of 8 bytes in memory. */
  values: 2 ** 24,
  /** Arrays inside arrays. Nobody writes more than one level; without a limit a few bytes a level overflow the stack. */
  nesting: 4,
  /** Bytes of a key; the specification says so. */
  keyBytes: 65_535,
  /** Bytes of a tensor name. llama.cpp stops at 64, tools for image models write longer ones. */
  nameBytes: 256,
  /** Dimensions of a tensor: GGML_MAX_DIMS. */
  rank: 4,
  /** Tensors of one model. The largest mixtures of experts have some 2,000. */
  tensors: 2 ** 20,
  /** `general.alignment`. Pages are the most that anyone aligns to; padding is never more than this. */
  alignment: 2 ** 20,
  /** Files of one model. The largest published ones have some dozens. */
  shards: 2 ** 10,
  /** Matrices in a stack of experts. The largest published mixtures have 512 in a layer. */
  experts: 2 ** 11,
} as const;

/** First read of a header; doubled while it is not enough. Heads without a vocabulary fit into it. */
export const GGUF_FIRST_READ_BYTES = 2 ** 18;

export interface TfliteLimits {
  /** Tables that are read; a table may be referred to many times, and each time counts. The largest published models have some 50,000. */
  readonly tables: number;
  /** Numbers and references in lists (shapes, scales per channel, operator inputs). */
  readonly scalars: number;
  /** Bytes of all names. Exporters write whole call stacks into them. */
  readonly textBytes: number;
  /** Bytes over which one tensor or operator may spread: 2^20 channels have scales and zero points of 12 MiB. */
  readonly tableBytes: number;
  /** Dimensions of a tensor; LiteRT's kernels stop at 8, some at 6. */
  readonly rank: number;
}

export const tfliteLimits: TfliteLimits = { tables: 1 << 22, scalars: 1 << 25, textBytes: 1 << 26, tableBytes: 1 << 26, rank: 64 };

export const tokenizerLimits = {
  /** Bytes of a SentencePiece model. That of the largest vocabulary in use, 256,000 pieces, takes 4 MB. */
  modelBytes: 1 << 26,
  /** Pieces of a vocabulary. The largest have 262,144. */
  pieces: 1 << 20,
  /** Characters of a piece: all its splits are looked at. SentencePiece trains 16, runs of spaces reach 128. */
  pieceLength: 1024,
  /** Bytes that a normalizer may put in the place of a character. NFKC makes at most 33 of one. */
  replacementBytes: 256,
  /** Tokens of languages. The largest models know 202. */
  languages: 1 << 12,
  /** Merges of a vocabulary; there are some two for each piece. */
  merges: 1 << 22,
} as const;

export const pt2Limits = {
  /** Bytes of the program: some 2 KB for each node. */
  programBytes: 1 << 28,
  /** Nodes of all graphs: the largest decomposed models have some 100,000. */
  nodes: 1 << 20,
  /** Graphs inside graphs (control flow). */
  graphDepth: 16,
  /** Dimensions of a tensor: torch itself stops at 64. */
  rank: 64,
} as const;

export const atenLimits = {
  /** Elements of a constant that is made of a size: positions, diagonals, windows. The longest sequences have 2^20 positions. */
  elements: 1 << 20,
  /** Parts that a tensor is taken apart into; each is a node. Unrolled recurrent networks reach some 2,000 steps. */
  parts: 1 << 13,
  /** Views of views of views. Each is taken again when the tensor in front has changed. */
  views: 1 << 9,
} as const;

export const scriptLimits = {
  /** Bytes of the code of all modules; some 1 KB for each. */
  codeBytes: 1 << 26,
  /** Brackets and operators inside each other in one line. */
  nesting: 200,
  /** Statements inside each other. Scripted attention of torch.nn reaches some 20. */
  blocks: 100,
  /** Methods and functions that are called; modules of the largest traced networks number some 1,000, scripted ones call some five functions each. */
  calls: 1 << 14,
  /** Calls inside each other: a module that calls itself ends here. Modules of modules reach some 20. */
  depth: 80,
  /** Statements that are run, loops unrolled: the largest traced networks take some 20,000. */
  steps: 1 << 17,
  /** Items of a list, or characters of a text, that a program may make. */
  items: 1 << 16,
} as const;

export const dataLimits = {
  /** Bytes of a file of calibration data that is held in memory, also when it is unpacked. MNIST takes 47 MB, ImageNet's pictures some 1 MB each. */
  fileBytes: 1 << 28,
  /** Dimensions of an array; NumPy stops at 64, models below 10. */
  rank: 32,
  /** Bytes of the header of an .npy file; NumPy itself asks for trust above 10,000. */
  npyHeaderBytes: 1 << 16,
  /** Pixels of a picture: 8 000 × 8 000. */
  pixels: 1 << 26,
  /** Bytes that the JPEG decoder may take, in MiB. */
  jpegMiB: 512,
  /** Files below a folder of pictures, or of tensors. */
  files: 1 << 20,
  /** Values in one JSON line, and lists inside each other. */
  jsonValues: 1 << 24,
  jsonDepth: 32,
  /** Bytes of one line. */
  lineBytes: 1 << 27,
} as const;

export const v2Limits = {
  /** Inputs, outputs or requested outputs of one request. The largest generative models have some 200 caches. */
  tensors: 1 << 10,
  /** Bytes of a name, an id or a datatype. ONNX exporters write whole module paths into names. */
  nameBytes: 1 << 10,
  /** Dimensions of a tensor. ONNX Runtime and NumPy work below 64. */
  rank: 64,
  /** Lists inside each other in the part of a request that is not tensor data: requests take five. */
  nesting: 16,
  /** Parameters of a request or a tensor, and bytes of one. */
  parameters: 1 << 8,
  parameterBytes: 1 << 16,
  /** Bytes of JSON, tensor data included. A text in V8 ends at 2^29, and JSON takes five times the memory of the tensor. */
  jsonBytes: 1 << 28,
  /** Bytes of JSON without tensor data: 1,024 tensors of 4 KiB each. */
  envelopeBytes: 1 << 22,
  /** Elements of one tensor as JSON, and lists in it. V8 takes up to 40 bytes for each while they are read. */
  jsonElements: 1 << 24,
  /** Values in a gRPC message outside tensors and packed lists (dimensions, byte strings, unknown fields): each takes some 150 bytes in memory. */
  scalars: 1 << 18,
  /** Messages in a gRPC message: tensors and their parameters. */
  messages: 1 << 14,
} as const;
