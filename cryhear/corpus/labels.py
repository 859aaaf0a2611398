"""Decide a recording's class from its path and its contributor's tag, by ordered rules.

The rules are data (`PRESETS`), so that a reader can see them and a study can compare them. The
class 'neurological' is the original study's name for cries whose contributors tagged discomfort,
loneliness, fear, cold or heat: no recording in an open corpus carries a diagnosis.

The original's folder codes (ch, lo, sc, among others, to pain) contradict its keywords (cold,
lonely, scared to neurological); its keywords are used here and its folder codes are not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

import pandas as pd

from cryhear.errors import CorpusError, ParameterError

CLASSES = ("pain", "hunger", "neurological")
"""The classes, in the order of their codes 0, 1, 2."""

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "hu": "hungry",
        "bu": "needs burping",
        "bp": "belly pain",
        "dc": "discomfort",
        "ti": "tired",
        "lo": "lonely",
        "ch": "cold or hot",
        "sc": "scared",
        "dk": "don't know",
    }
)
"""Donate-a-Cry's reason codes and their meaning (the corpus's README)."""


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes
    ----------
    name : str
    source : {'path', 'code'}
        'path': one of the words stands in the path below the root, as a whole word (`words_of`) or
        with an English ending (`ENDINGS`), and is not negated. 'code': one of them is the reason code.
    words : tuple of str
        Tried in order.
    label : str
        The class it gives, one of `CLASSES`.
    """

    name: str
    source: str
    words: tuple[str, ...]
    label: str


PRESETS: Mapping[str, tuple[Rule, ...]] = MappingProxyType(
    {
        "original": (
            Rule(
                "path_neurological",
                "path",
                (
                    "neurological", "distress", "discomfort", "uncomfortable", "scared", "lonely",
                    "cold_hot", "cold", "hot", "snoring",
                ),
                "neurological",
            ),
            Rule("path_hunger", "path", ("hungry", "hunger"), "hunger"),
            Rule(
                "path_pain", "path", ("belly", "pain", "burn", "burp", "tired", "tire"), "pain"
            ),
            Rule("code_pain", "code", ("bp", "bu", "ti"), "pain"),
            Rule("code_hunger", "code", ("hu",), "hunger"),
            Rule("code_neurological", "code", ("dc", "lo", "sc", "ch"), "neurological"),
        ),
        "strict": (
            Rule("code_pain", "code", ("bp",), "pain"),
            Rule("code_hunger", "code", ("hu",), "hunger"),
            Rule("code_neurological", "code", ("dc",), "neurological"),
        ),
    }
)  # fmt: skip
"""Ordered rules by preset: the first that matches decides. 'original' is the original study's
keyword heuristic, then the reason code; 'strict' trusts only the codes that name a class."""

ENDINGS = ("", "s", "ing", "ed", "ful")
"""What a rule's word may end in and still be meant: *burp* is found in *burping*, not in *burplike*."""

NEGATIONS = frozenset(
    (
        "no", "not", "non", "none", "never", "without", "sans", "isn", "isnt", "wasn", "wasnt",
        "aint", "doesnt", "nor", "neither", "lacks", "lacking", "absence", "anti", "sin", "senza",
        "pas", "kein", "keine", "keinen", "ohne", "nicht", "geen", "sem",
    )
)  # fmt: skip
"""Words that take back every rule's word after them in the same folder's or file's name."""

DENIALS = frozenset(("free", "less", "absent", "no", "none", "negative", "neg", "false", "denied"))
"""Words that take back the rule's words just before them: *belly pain free*, *pain_none*."""

# An app instance's id is hexadecimal and so holds no keyword; taking it out makes that certain.
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_WORD = re.compile(r"\d+|[^\W\d_]+")
# Where a capital begins a word: 'bellyPain', 'MRIPain'.
_CAPITAL = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PREFIXES, _SUFFIXES = ("no", "non", "not", "un"), ("less", "free")


def words_of(name: str) -> list[str]:
    """Words of a folder's or file's name, lower case, in order.

    Words are runs of letters of any alphabet; digits, separators and capitals within a word part
    them.

    Examples
    --------
    >>> words_of("bellyPain_no-2 hotel.wav")
    ['belly', 'pain', 'no', '2', 'hotel', 'wav']
    """
    text = unicodedata.normalize("NFKC", _UUID.sub(" ", name))
    text = re.sub(r"(?<=n)['\u2019](?=t\b)", "", text)  # isn't
    return _WORD.findall(_CAPITAL.sub(" ", text).lower())


@dataclass(frozen=True)
class Decision:
    """What the rules say of one recording.

    Attributes
    ----------
    label : str
        One of `CLASSES`, or '' where no rule matches.
    rule : str
        The rule that fired and its word, such as 'path_pain=burp', or ''.
    matched : tuple of str
        Every rule that matches, in order; then the words of rules that are negated, such as
        'not path_pain=pain'.
    conflict : bool
        Whether the rules that match disagree on the class, or a word of the class given is negated.
    """

    label: str
    rule: str
    matched: tuple[str, ...]
    conflict: bool


def rules(preset: str) -> tuple[Rule, ...]:
    """Rules of a preset.

    Raises
    ------
    ParameterError
        There is no such preset.
    """
    if preset not in PRESETS:
        raise ParameterError(
            f"label preset {preset!r} is not known; expected one of {', '.join(PRESETS)}; "
            "set `labels` to one of them"
        )
    return PRESETS[preset]


def decide(folder: str, name: str, reason: str, preset: str = "original") -> Decision:
    """Decide the class of one recording.

    Parameters
    ----------
    folder : str
        Parent folder below the root, POSIX; '' at the root.
    name : str
        File name; '' where it is not known, as in published tables.
    reason : str
        Reason code of `REASONS`, or ''.
    preset : {'original', 'strict'}

    Returns
    -------
    Decision

    Examples
    --------
    >>> decision = decide(folder="hungry", name="cry.wav", reason="dc")
    >>> decision.label, decision.rule, decision.conflict
    ('hunger', 'path_hunger=hungry', True)
    """
    parts = [words_of(part) for part in (*folder.split("/"), PurePosixPath(name).stem)]
    fired, negated = [], []
    for rule in rules(preset):
        if rule.source == "path":
            found = [(w, _stands(w, part)) for w in rule.words for part in parts]
            word = next((w for w, stands in found if stands), "")
            negated += [(rule, f"not {rule.name}={w}") for w, stands in found if stands is False]
        else:
            word = reason if reason in rule.words else ""
        if word:
            fired.append((rule, f"{rule.name}={word}"))
    taken_back = {rule.label for rule, _ in negated}
    matched = tuple(dict.fromkeys(text for _, text in [*fired, *negated]))
    if not fired:
        return Decision("", "", matched, False)
    return Decision(
        label=fired[0][0].label,
        rule=fired[0][1],
        matched=matched,
        conflict=len({rule.label for rule, _ in fired}) > 1 or fired[0][0].label in taken_back,
    )


def _stands(word: str, part: list[str]) -> bool | None:
    """Whether a rule's word stands in a name: True; False where each time it is negated; None."""
    *first, last = word.split("_")
    stands = None
    for i in range(len(part) - len(first)):
        end = i + len(first)
        here = part[end]
        if part[i:end] == first and here in {last + ending for ending in ENDINGS}:
            if not _negated(part, i, end):
                return True
            stands = False
        glued = {p + last for p in _PREFIXES} | {last + s for s in _SUFFIXES}
        if not first and here in glued:
            stands = False
    return stands


def _negated(part: list[str], start: int, end: int) -> bool:
    """Whether the words at a place are taken back by one before them, or by the next."""

    def number(i: int) -> bool:  # 'no 3' counts
        return part[i] == "no" and i + 1 < len(part) and part[i + 1].isdigit()

    before = any(part[i] in NEGATIONS and not number(i) for i in range(start))
    behind = [i for i in (end + 1, end + 2) if i < len(part)]  # 'belly pain free'
    after = any(
        part[i] in DENIALS and not number(i) and (part[i] not in NEGATIONS or i == len(part) - 1)
        for i in behind
    )
    freed = part[max(0, start - 2) : start] in (["free", "of"], ["free", "from"])
    return before or after or freed


def assign(manifest: pd.DataFrame, preset: str = "original") -> pd.DataFrame:
    """Add labels to a manifest.

    Parameters
    ----------
    manifest : pandas.DataFrame
        With columns `folder`, `name` and `reason`. Not changed.
    preset : {'original', 'strict'}

    Returns
    -------
    pandas.DataFrame
        A copy with `label` ('' where no rule matches), `rule`, `rules_matched` (joined by ';') and
        `conflict` (bool).

    Raises
    ------
    CorpusError
        A column is missing.
    """
    missing = {"folder", "name", "reason"} - set(manifest.columns)
    if missing:
        raise CorpusError(
            f"the manifest lacks the columns {', '.join(sorted(missing))}; labels are decided "
            "from folder, name and reason; make it with `cryhear.corpus.manifest.build`"
        )
    found = [
        decide(folder, name, reason, preset)
        for folder, name, reason in zip(
            manifest["folder"], manifest["name"], manifest["reason"], strict=True
        )
    ]
    return manifest.assign(
        label=[d.label for d in found],
        rule=[d.rule for d in found],
        rules_matched=[";".join(d.matched) for d in found],
        conflict=pd.array([d.conflict for d in found], dtype="bool"),
    )


def keywords(text: str) -> str:
    """Words of any preset's path rules found in a text, longest first, joined by '_'.

    What remains of a name that must not be published and yet decides a label.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        '' where there is none.

    Examples
    --------
    >>> keywords("My tired baby.wav")
    'tired'
    """
    part, found = words_of(text), []
    words = {
        w for preset in PRESETS.values() for r in preset if r.source == "path" for w in r.words
    }
    for word in sorted(words, key=lambda w: (-len(w), w)):
        stands = _stands(word, part)
        if stands is not None:
            found.append((stands, word))
            part = [w for w in part if w not in word.split("_")]
    # What is negated comes last: a negation takes back all that follows.
    kept = [word for stands, word in found if stands]
    denied = [word for stands, word in found if not stands]
    return "_".join([*kept, *(["no", *denied] if denied else [])])


DISPLAY_NAMES = {
    "": "unknown",
    "ios": "iOS",
    "android": "Android",
    "hear": "HeAR",
    "hear-pytorch": "HeAR (PyTorch)",
    "yamnet": "YAMNet",
    "egemaps": "eGeMAPS",
    "logmel": "log-mel",
    "svm_rbf": "SVM (RBF)",
    "mlp": "MLP",
    "f1": "F1",
    "f1_weighted": "weighted F1",
    "f1_macro": "macro F1",
    "auc_macro": "macro AUC",
    "oof": "out of fold",
    "oof_copies": "copies, out of fold",
}
"""How names of the study's tables are written in figures and sentences, where it is not as they are."""


def display_name(group: Any) -> str:
    """A group's name as drawn: `DISPLAY_NAMES`, else with its underscores as spaces."""
    return DISPLAY_NAMES.get(group, str(group).replace("_", " "))
