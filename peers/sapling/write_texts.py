"""Writes the training part of the texts, its documents in an order of their own per seed, as data to calibrate with.

    python write_texts.py FOLDER --seeds 3      train-0.txt, train-1.txt, train-2.txt, validation.txt
"""

import argparse
import random
from pathlib import Path

import texts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    texts.add_arguments(parser)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    by_source, validation, _ = texts.split(texts.load(options))
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "validation.txt").write_text("\n\n".join(validation), "utf-8")
    for seed in range(options.seeds):
        documents = [text for source in by_source.values() for text in source]
        random.Random(seed).shuffle(documents)
        (options.folder / f"train-{seed}.txt").write_text("\n\n".join(documents), "utf-8")


if __name__ == "__main__":
    main()
