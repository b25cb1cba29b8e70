"""The three public-domain texts Sapling reads, cleaned and cut into documents.

A document is one chapter of War and Peace, one chapter of the King James Bible, or a handful of consecutive
speeches of Shakespeare. Documents, never lines, are dealt out to the three parts, so no part sees a piece of another.
"""

import gzip
import os
import re
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MODEL = REPOSITORY / "models" / "sapling"

SPEECHES_PER_DOCUMENT = 8
HELD_OUT_BYTES = 300_000

# The abbreviations the `bible` command prints, in order, and the name a reader expects.
BOOKS = dict(
    pair.split("=")
    for pair in (
        "Ge=Genesis|Exo=Exodus|Lev=Leviticus|Num=Numbers|Deu=Deuteronomy|Josh=Joshua|Jdgs=Judges|Ruth=Ruth|"
        "1Sm=1 Samuel|2Sm=2 Samuel|1Ki=1 Kings|2Ki=2 Kings|1Chr=1 Chronicles|2Chr=2 Chronicles|Ezra=Ezra|Neh=Nehemiah|"
        "Est=Esther|Job=Job|Psa=Psalms|Prv=Proverbs|Eccl=Ecclesiastes|SSol=Song of Solomon|Isa=Isaiah|Jer=Jeremiah|"
        "Lam=Lamentations|Eze=Ezekiel|Dan=Daniel|Hos=Hosea|Joel=Joel|Amos=Amos|Obad=Obadiah|Jonah=Jonah|Mic=Micah|"
        "Nahum=Nahum|Hab=Habakkuk|Zep=Zephaniah|Hag=Haggai|Zec=Zechariah|Mal=Malachi|Mat=Matthew|Mark=Mark|Luke=Luke|"
        "John=John|Acts=Acts|Rom=Romans|1Cor=1 Corinthians|2Cor=2 Corinthians|Gal=Galatians|Eph=Ephesians|"
        "Phi=Philippians|Col=Colossians|1Th=1 Thessalonians|2Th=2 Thessalonians|1Tim=1 Timothy|2Tim=2 Timothy|"
        "Titus=Titus|Phmn=Philemon|Heb=Hebrews|Jas=James|1Pet=1 Peter|2Pet=2 Peter|1Jn=1 John|2Jn=2 John|3Jn=3 John|"
        "Jude=Jude|Rev=Revelation"
    ).split("|")
)


def add_arguments(parser):
    """Adds the two options that say where the texts are."""
    parser.add_argument(
        "--texts",
        type=Path,
        default=Path(os.environ.get("PENJING_TESTDATA", REPOSITORY / "../shared/data")),
        help="folder with datasets/tinyshakespeare and datasets/war-and-peace (default: $PENJING_TESTDATA)",
    )
    parser.add_argument(
        "--bible",
        type=Path,
        help="a file of lines such as 'Ge1:1 In the beginning…' (default: what the `bible` command prints)",
    )


def shakespeare(folder):
    text = (folder / "datasets/tinyshakespeare/input.txt").read_text("utf-8")
    speeches = [speech.strip() for speech in text.split("\n\n") if speech.strip()]
    groups = range(0, len(speeches), SPEECHES_PER_DOCUMENT)
    return ["\n\n".join(speeches[start : start + SPEECHES_PER_DOCUMENT]) for start in groups]


def war_and_peace(folder):
    """Chapters with each paragraph on one line; translators' footnotes and their marks are dropped."""
    text = gzip.decompress((folder / "datasets/war-and-peace/war-and-peace.txt.gz").read_bytes()).decode("utf-8")
    chapters = []
    for block in re.split(r"\n\s*\n", text):
        paragraph = " ".join(block.split())
        if not paragraph or paragraph.startswith("*") or re.match(r"(BOOK|FIRST|SECOND) [A-Z]+(: [\d -]+)?$", paragraph):
            continue
        if re.match(r"CHAPTER [IVXL]+$", paragraph):
            chapters.append([])
        chapters[-1].append(re.sub(r" ?\*", "", paragraph))
    return ["\n\n".join(chapter) for chapter in chapters]


def bible(dump):
    """Chapters under a heading such as 'Genesis, chapter 1', one verse a line."""
    if dump is None:
        command = ["bible", "-f", "gen1:1-rev22:21"]
        text = subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout.decode("utf-8")
    else:
        text = dump.read_text("utf-8")
    chapters = {}
    for line in text.splitlines():
        book, chapter, verse = re.match(r"(\d?[A-Za-z]+)(\d+):\d+ +(.*)", line).groups()
        chapters.setdefault((book, chapter), []).append(" ".join(verse.split()))
    return [f"{BOOKS[book]}, chapter {number}\n\n" + "\n".join(verses) for (book, number), verses in chapters.items()]


def load(options):
    """All documents by source: {name: [document, …]}, in the order of the books."""
    return {
        "shakespeare": shakespeare(options.texts),
        "war-and-peace": war_and_peace(options.texts),
        "bible": bible(options.bible),
    }


def split(sources):
    """Deals 1 document in 30 to the held-out part and 1 in 60 to the validation part; the rest is for training.

    Training watches `validation` only. `held_out` is shuffled together by position, so that any prefix of it
    holds all three sources in proportion, and trimmed to HELD_OUT_BYTES.
    """
    training, validation, held_out = {}, [], []
    for name, documents in sources.items():
        training[name] = [text for index, text in enumerate(documents) if index % 30 != 7 and index % 60 != 22]
        validation += documents[22::60]
        chosen = documents[7::30]
        held_out += [((index + 0.5) / len(chosen), text) for index, text in enumerate(chosen)]
    kept, size = [], 0
    for _, text in sorted(held_out):
        size += len(text.encode("utf-8")) + 2
        if size > HELD_OUT_BYTES:
            break
        kept.append(text)
    return training, validation, "\n\n".join(kept) + "\n"
