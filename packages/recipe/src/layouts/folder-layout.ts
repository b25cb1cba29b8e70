/** How a model folder is laid out for the program that will load it; one file per layout implements it. */
import type { Model, PassResult } from '@penjing/core';
import type { FileLayout, HuggingFaceConfig, TransformersJsDType } from '@penjing/graph-io';

export interface FolderLayout {
  /** Where a graph goes, relative to the folder; `dtype` is undefined for weights stored in bfloat16. */
  graph(stem: string, dtype: TransformersJsDType | undefined): string;
  /** A file or folder that shows that a folder holds graphs in this layout already; absent when it has room for one only. */
  readonly shared?: string;
  /** Everything but the graphs. */
  companions(context: CompanionContext): Promise<FileLayout[]>;
}

export interface CompanionContext {
  readonly folder: HuggingFaceConfig;
  readonly target: string;
  readonly dtype: TransformersJsDType | undefined;
  /** The folder holds this model already. */
  readonly adds: boolean;
  readonly graphs: readonly WrittenGraph[];
}

/** One graph, and the files it became. */
export interface WrittenGraph {
  readonly stem: string;
  readonly model: Model;
  readonly files: readonly FileLayout[];
  /** What its steps changed in the configuration. */
  readonly sizes?: PassResult['sizes'];
}
