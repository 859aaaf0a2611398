"""The typed parameters of a study: one model a chapter, one for the study, read from YAML and checked.

A study file says only what differs from the defaults below. Four keys stand at its top and reach
every chapter that has a parameter of that name: ``seed``, ``labels``, ``set`` and
``representations`` (``primary`` reaches the chapters' ``representation``); a chapter's own section
wins over them. An unknown name, a wrong type or a value out of range is refused before anything
runs, with the nearest right name.
"""

from __future__ import annotations

import difflib
import os
import reprlib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from cryhear.errors import ParameterError


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("a filter window must be an odd number of samples")
    return value


Representation = Literal["hear", "hear-pytorch", "yamnet", "egemaps", "logmel"]
LabelPreset = Literal["original", "strict"]
Unit = Literal["file", "infant"]
OddWindow = Annotated[int, Field(ge=3, le=101, strict=True), AfterValidator(_odd)]
ClassicalModel = Literal["logistic_regression", "svm_rbf", "random_forest", "gradient_boosting"]
Whole = Annotated[int, Field(strict=True)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1, strict=True)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,63}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Folds = Annotated[int, Field(ge=2, le=20, strict=True, description="folds, 2 to 20")]
Repeats = Annotated[int, Field(ge=1, le=50, strict=True, description="repeats, 1 to 50")]
Draws = Annotated[int, Field(ge=50, le=100000, strict=True, description="draws over infants")]
Sigma = Annotated[float, Field(gt=0, le=50, description="samples, 0 to 50")]
Overlap = Annotated[float, Field(ge=0, le=0.9, description="share of a clip, 0 to 0.9")]
Level = Annotated[float, Field(ge=-120, le=0, description="dBFS RMS, -120 to 0")]


class Section(BaseModel):
    """A group of parameters: unknown names are errors, values are checked, nothing changes later."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )


class Source(Section):
    """Where the recordings come from: derived tables, folders of recordings, or the synthesiser."""

    derived: str | None = Field(None, description="folder of derived tables to start from")
    roots: list[str] = Field([], description="folders of recordings; several make one study")
    other: list[str] = Field(
        [], description="folders of sounds that are no study recordings, one folder a category"
    )
    synthetic: dict[str, Any] | None = Field(
        None,
        description="settings of cryhear.corpus.synthetic.SyntheticCorpus; {} for its defaults",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Source:
        given = [bool(self.derived), bool(self.roots), self.synthetic is not None]
        if sum(given) != 1:
            raise ValueError("give exactly one of derived, roots and synthetic")
        return self


class Preprocess(Section):
    """The original's chain, each step optional, and how a recording is cut into clips."""

    sample_rate: Literal[16000] = Field(16000, description="Hz; every backend is fed this rate")
    wiener: bool = Field(True, description="adaptive Wiener filter, as the original")
    wiener_size: OddWindow = Field(3, description="samples; odd, 3 to 101")
    gaussian: bool = Field(True, description="Gaussian smoothing, as the original")
    gaussian_sigma: Sigma = 0.5
    rms: bool = Field(True, description="divide by the recording's RMS")
    rms_target: float = Field(
        0.1, gt=0, le=1, description="RMS after, 0 to 1 of full scale; the original used 1.0"
    )
    clip_seconds: float = Field(2.0, ge=2.0, le=2.0, description="s; HeAR's input length")
    overlap: Overlap = 0.10
    tail: Literal["slide", "drop", "pad"] = Field(
        "slide", description="slide the last window back, drop the rest (the original), or zero-pad"
    )
    short: Literal["skip", "pad"] = Field("skip", description="recordings under one clip")
    silence_dbfs: Level = Field(-50.0, description="level before normalising; quieter are dropped")


class Augment(Section):
    """Training-time copies, with the original's ranges."""

    copies: Whole = Field(2, ge=0, le=10, description="copies a recording")
    noise_amplitude: tuple[float, float] = Field((0.001, 0.015), description="share of the RMS")
    stretch_rate: tuple[float, float] = Field((0.8, 1.25), description="speed factor")
    pitch_semitones: tuple[float, float] = Field((-4.0, 4.0), description="semitones")
    shift_fraction: tuple[float, float] = Field((-0.5, 0.5), description="share of the length")
    p_noise: Share = Field(0.5, description="probability")
    p_stretch: Share = Field(0.5, description="probability")
    p_pitch: Share = Field(0.5, description="probability")
    p_shift: Share = Field(0.3, description="probability")
    p_augment: Share = Field(0.5, description="probability that a copy is changed at all")


class Embed(Section):
    """How a corpus is embedded."""

    shards: Whole = Field(2, ge=1, le=1000, description="pieces that run side by side")
    threads: Whole = Field(1, ge=1, le=64, description="threads a shard")
    variants: list[Literal["augmented", "perturbed", "alternatives"]] = Field(
        ["augmented"], description="pooled versions made besides the plain clips"
    )
    limit_s: float = Field(600.0, gt=0, le=86400, description="s; longer ones are listed, not used")


class Chapter(Section):
    """Parameters every chapter has."""

    study: str = Field("results/default", description="folder of the run")


class _Labelled(Chapter):
    seed: Seed = Field(42, description="random seed, 0 to 4294967295")
    labels: LabelPreset = Field("original", description="label rules: original or strict")
    set: Name = Field("uploads", description="uploads, cleaned, a corpus name, or all")


class _Single(_Labelled):
    representation: Representation = Field("yamnet", description="embedding backend")


class _Several(_Labelled):
    representations: list[Representation] = Field(
        ["yamnet", "egemaps", "logmel"], description="embedding backends; the first is primary"
    )


class _Dealt(_Several):
    units: list[Unit] = Field(["file", "infant"], description="what a split keeps together")


class Audit(_Labelled):
    """Chapter 1."""

    minimum_duration_s: float = Field(2.0, ge=0, le=600, description="s; shorter are kept apart")
    gap_minutes: float = Field(
        5.0, gt=0, le=1440, description="min; an instance's recordings closer than it: one episode"
    )


class Preprocessing(Chapter):
    """Chapter 2."""

    seed: Seed = Field(42, description="random seed, 0 to 4294967295")
    wiener_size: OddWindow = Field(3, description="samples, odd")
    gaussian_sigma: Sigma = 0.5
    overlap: Overlap = 0.1
    silence_dbfs: Level = -50.0


class Embedding(_Several):
    """Chapter 3."""

    batch: Whole = Field(64, ge=2, le=512, description="clips scaled together, 2 to 512")


class Exploration(_Single):
    """Chapter 4."""

    neighbours: Whole = Field(5, ge=1, le=100, description="for purity, 1 to 100")
    umap_neighbours: Whole = Field(15, ge=2, le=200, description="2 to 200")
    umap_min_dist: Share = Field(0.1, description="UMAP min_dist, 0 to 1")
    umap_seeds: Whole = Field(4, ge=2, le=20, description="seeds compared, 2 to 20")


class Classical(_Dealt):
    """Chapter 5."""

    models: list[ClassicalModel] = Field(
        ["svm_rbf", "logistic_regression", "random_forest", "gradient_boosting"],
        description="classifiers; their soft vote is added",
    )
    search: Literal["default", "original"] = Field("default", description="search preset")
    n_iter: Whole = Field(10, ge=1, le=200, description="candidates a search, 1 to 200")
    augment: bool = Field(True, description="add the augmented copies to the training side")


class Mlp(_Dealt):
    """Chapter 6."""

    search: Literal["default", "original"] = Field("default", description="search preset")
    trials: Whole = Field(10, ge=1, le=100, description="candidates, 1 to 100")
    search_epochs: Whole = Field(20, ge=1, le=500, description="epochs a candidate")
    epochs: Whole = Field(50, ge=1, le=1000, description="of the final training")
    patience: Whole = Field(
        15, ge=1, le=1000, description="epochs without a better validation loss"
    )
    batch_size: Whole = Field(128, ge=2, le=4096, description="rows a batch; the original used 16")
    dropout: list[float] = Field([0.3, 0.7], description="range searched, 0 to 0.95")
    augment: bool = Field(True, description="add the augmented copies to the training side")

    @model_validator(mode="after")
    def _range(self) -> Mlp:
        if len(self.dropout) != 2 or not 0 <= self.dropout[0] <= self.dropout[1] <= 0.95:
            raise ValueError("dropout must be [low, high] with 0 <= low <= high <= 0.95")
        return self


class Crossvalidation(_Several):
    """Chapter 7."""

    models: list[ClassicalModel] = Field(
        ["logistic_regression", "svm_rbf", "random_forest", "gradient_boosting"],
        description="classifiers",
    )
    folds: Folds = 5
    repeats: Repeats = 2
    mlp: bool = Field(True, description="cross-validate the MLP too")
    draws: Draws = 2000


class Evaluation(_Single):
    """Chapter 8."""

    unit: Unit = Field(
        "file", description="split shown in full: by file (the original's) or infant"
    )
    draws: Draws = 2000
    lottery: Whole = Field(60, ge=2, le=1000, description="splits drawn, 2 to 1000")


class Leakage(_Several):
    """Chapter 9."""

    sets: list[Name] = Field(
        ["uploads", "cleaned"], description="sets side by side; first is primary"
    )
    folds: Folds = 5
    repeats: Repeats = 10
    permutations: Whole = Field(
        1000, ge=19, le=100000, description="label permutations of the primary test"
    )
    refits: Whole = Field(200, ge=20, le=10000, description="refitting bootstraps over infants")
    comparisons: Whole = Field(
        200, ge=19, le=100000, description="permutations that the others share"
    )
    power_runs: Whole = Field(40, ge=2, le=10000, description="simulated studies an effect size")
    ladder_repeats: Whole = Field(3, ge=1, le=50, description="repeats of each rung")
    models: list[Literal["svm_rbf", "mlp"]] = Field(
        ["svm_rbf", "mlp"], description="models on the ladder beside logistic regression"
    )
    draws: Draws = 2000


class Robustness(_Single):
    """Chapter 11."""

    folds: Folds = 5
    repeats: Repeats = 3
    draws: Draws = 2000


class Controls(Robustness):
    """Chapter 10."""

    shuffles: Whole = Field(
        20, ge=1, le=1000, description="label exchanges behind 'the best of nothing'"
    )


class Recording(Chapter):
    """Chapter 12."""

    seed: Seed = Field(42, description="random seed of the synthetic cry, 0 to 4294967295")
    recording: str = Field("", description="path of a recording; empty for a synthetic cry")


class Relabelled(Chapter):
    """Chapter 13."""

    seed: Seed = Field(42, description="random seed, 0 to 4294967295")
    representation: Representation = Field("yamnet", description="embedding backend")
    collection: Literal["Baby Crying Sounds", "BABY CRY", "cry"] = Field(
        "Baby Crying Sounds", description="collection of the experiment"
    )
    repeats: Repeats = 3
    draws: Draws = 2000


class Literature(Chapter):
    """Chapter 14."""

    representation: Representation = Field("yamnet", description="backend of this study's scores")


class Model(Section):
    """The model a study leaves behind (`cryhear.prediction.train`)."""

    representation: Representation | None = Field(
        None, description="embedding backend; logmel where the study has it, else its primary"
    )
    repeats: Whole = Field(3, ge=1, le=50, description="repeats of the folds that judge it")


class Study(Section):
    """A whole study: its source, what every chapter shares, and each chapter's own section."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")] = Field(
        description="names the folder under results/"
    )
    source: Source
    seed: Seed = 42
    labels: LabelPreset = "original"
    set: Name = "uploads"
    representations: Annotated[list[Representation], Field(min_length=1)] = [
        "yamnet",
        "egemaps",
        "logmel",
    ]
    primary: Representation = "yamnet"
    preprocess: Preprocess = Preprocess()
    augment: Augment = Augment()
    embed: Embed = Embed()
    chapters: list[str] = Field([], description="chapters to run; empty for all")
    audit: Audit = Audit()
    preprocessing: Preprocessing = Preprocessing()
    embedding: Embedding = Embedding()
    exploration: Exploration = Exploration()
    classical: Classical = Classical()
    mlp: Mlp = Mlp()
    crossvalidation: Crossvalidation = Crossvalidation()
    evaluation: Evaluation = Evaluation()
    leakage: Leakage = Leakage()
    controls: Controls = Controls()
    robustness: Robustness = Robustness()
    recording: Recording = Recording()
    relabelled: Relabelled = Relabelled()
    literature: Literature = Literature()
    model: Model = Model()

    @model_validator(mode="after")
    def _primary_is_run(self) -> Study:
        if self.primary not in self.representations:
            raise ValueError(
                f"primary is {self.primary!r}, which is not among representations "
                f"{self.representations}: add it there or name another"
            )
        return self

    @property
    def folder(self) -> Path:
        """Where the run lives, relative to the project's root."""
        return Path("results") / self.name

    @property
    def derived(self) -> Path:
        """Where the derived tables are: given, or made under the run's folder."""
        return Path(self.source.derived) if self.source.derived else self.folder / "derived"

    @property
    def model_representation(self) -> str:
        """Representation of the model the study leaves behind."""
        plain = "logmel" if "logmel" in self.representations else self.primary
        return self.model.representation or plain

    def chapter_parameters(self, chapter: str) -> dict[str, Any]:
        """Parameters of a chapter (``04_exploration``): its section over the shared keys."""
        section: Chapter = getattr(self, chapter.split("_", 1)[1])
        shared = {
            "seed": self.seed,
            "labels": self.labels,
            "set": self.set,
            "representations": self.representations,
            "representation": self.primary,
            "study": self.folder.as_posix(),
        }
        chosen = section.model_dump(mode="json")
        inherited = {
            k: v for k, v in shared.items() if k in chosen and k not in section.model_fields_set
        }
        return {**chosen, **inherited}


def chapter_model(chapter: str) -> type[Chapter]:
    """The model of a chapter's parameters: that of the study's section of its name."""
    model: Any = Study.model_fields[chapter.split("_", 1)[1]].annotation
    return model


class _Once(yaml.SafeLoader):
    """Plain data in which each name stands once: PyYAML itself keeps the last and drops the others."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping; refuse a name that stands twice."""
        lines: dict[str, int] = {}
        for name, _ in node.value:
            key, line = repr(self.construct_object(name, deep=True)), name.start_mark.line + 1
            if key in lines:
                raise ParameterError(
                    f"line {line} gives {key} again, which line {lines[key]} gave; expected each name "
                    "once. Join the two, or take one out"
                )
            lines[key] = line
        return super().construct_mapping(node, deep)


def parse(text: str, where: str) -> Any:
    """Read YAML as plain data; `where` names the text in an error.

    Raises
    ------
    ParameterError
        It is no YAML, asks for an object, or gives a name twice.
    """
    try:
        return yaml.load(text, Loader=_Once)
    except ParameterError as error:
        raise ParameterError(f"{where}: {error}") from None
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:
        # Also dates that no calendar has, and numbers without end.
        said = " ".join(str(error).split())
        raise ParameterError(
            f"{where} cannot be read as YAML ({type(error).__name__}: {said[:300]}); expected plain "
            "names and values, as in params/default.yaml"
        ) from None


def typed(config: dict[str, Any]) -> dict[str, Any]:
    """Overrides as Snakemake's ``--config`` gives them: below its top all are text, here numbers again."""

    def below(value: Any, where: str) -> Any:
        if isinstance(value, dict):
            return {key: below(item, f"{where}.{key}") for key, item in value.items()}
        if isinstance(value, list):
            return [below(item, where) for item in value]
        return parse(value, where) if isinstance(value, str) else value

    return {
        key: value if isinstance(value, str) else below(value, f"--config {key}")
        for key, value in config.items()
    }


SHOWN = 8
"""Mistakes told at once."""


def load(path: str | os.PathLike[str], overrides: dict[str, Any] | None = None) -> Study:
    """Read a study file, lay `overrides` over it, and check the whole.

    Parameters
    ----------
    path : path-like
        A YAML file (read as plain data: a tag that would run code is an error).
    overrides : dict, optional
        Values by dotted name, ``{"exploration.seed": 7}``, or nested dictionaries.

    Raises
    ------
    ParameterError
        Naming the file, the parameter, what was found and what was expected.
    """
    try:
        content = parse(Path(path).read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        known = ", ".join(p.as_posix() for p in sorted(Path("params").glob("*.yaml")))
        raise ParameterError(
            f"{path} is not there; parameter files here: {known or 'none'}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(content, dict):
        raise ParameterError(
            f"{path} holds {type(content).__name__}; expected names and values, as in params/default.yaml"
        )
    return check(_merge(content, overrides or {}), Study, where=str(path))


def check(values: dict[str, Any], model: type[BaseModel], where: str) -> Any:
    """Build `model` from `values`; turn what pydantic finds into one plain message.

    Examples
    --------
    >>> check({"folds": 3}, Leakage, "a study").folds
    3
    >>> check({"fold": 3}, Leakage, "a study")
    Traceback (most recent call last):
    cryhear.errors.ParameterError: a study: unknown parameter 'fold' (did you mean 'folds'? ...
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [_explain(problem, model) for problem in error.errors()[:SHOWN]]
        more = f"; and {error.error_count() - SHOWN} more" * (error.error_count() > SHOWN)
        raise ParameterError(f"{where}: " + "; ".join(lines) + more) from None


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        head, _, rest = str(key).partition(".")
        change = {rest: value} if rest else value
        below = merged.get(head)
        if isinstance(change, dict) and (rest or isinstance(below, dict)):
            merged[head] = _merge(below if isinstance(below, dict) else {}, change)
        else:
            merged[head] = change
    return merged


def _explain(problem: Any, model: type[BaseModel]) -> str:
    location = ".".join(str(part) for part in problem["loc"]) or "the whole file"
    # Not repr: what came may be larger than any message, or hold itself.
    found = reprlib.repr(problem["input"])
    if len(found) > 80:
        found = found[:77] + "..."
    if problem["type"] == "extra_forbidden":
        names = _names(model, problem["loc"][:-1])
        near = difflib.get_close_matches(str(problem["loc"][-1]), names, n=1, cutoff=0.0)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"unknown parameter {location!r} ({hint}known here: {', '.join(names)})"
    if problem["type"] == "missing":
        return f"{location} is missing; give it a value"
    return f"{location} is {found}: {problem['msg'].removeprefix('Value error, ')}"


def _names(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    for part in location:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
    return sorted(model.model_fields)
