"""The leakage audit of chapter 9: its computations, in pieces that survive a killed run.

`cryhear.analysis.findings` turns what an `Audit` computed into the chapter's tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from cryhear import pieces
from cryhear.analysis import below_chance, end_to_end, penalty, permutation, power, trials
from cryhear.analysis.controls import plan_of
from cryhear.analysis.primary_auc import Plan
from cryhear.analysis.trials import Rows

RUNGS = ("L0", "L1", "L2", "L3", "L4")
MLP_RUNGS = ("L0", "L1", "L3")
SMALL = (0.0, 0.05, 0.075, 0.1, 0.15)
"""Effects around what can just be found, between-infant standard deviations."""
LARGE = tuple(effect for effect in power.EFFECTS if effect > SMALL[-1])
COVERED = (0.0,)
"""Effects at which the refitted interval's coverage is simulated. Not with an effect: it lies in the
span of all infants, and a bootstrap that leaves infants out would find part of it free of noise."""
REFITS_A_RUN = 20
BLOCK = 10
"""Refitting bootstraps a piece."""
LEAST_PERMUTATIONS = 19
SHUFFLES = 8
SIZE_RUNS = 5
"""Studies without an effect for each simulated study of an effect."""
SIDE_PERMUTATIONS = 100
EXCHANGES = 99
"""Exchanges of labels behind the mean score of meaningless labels at another strength."""
STEEPER = (0.1,)
"""Strengths beside `penalty.BESIDE` at which the inflation is asked."""
COMPARED = ("L1", "L2", "L3")
MODEL_REPEATS = 2
"""Repeats, at most, of the models beside logistic regression."""


class Audit:
    """The chapter's computations on one run.

    Parameters
    ----------
    run : cryhear.study.chapter.Run
        Of chapter 9: its parameters say what is computed, its folder keeps the pieces.
    n_jobs : int, optional
        Processes; as many as there are processors by default.
    """

    def __init__(self, run: Any, n_jobs: int | None = None) -> None:
        self.run, self.settings, self.n_jobs = run, run.parameters, n_jobs
        # Beside the chapter's folder, which is emptied when the chapter starts anew.
        self.folder = run.run_folder / "parts" / run.chapter
        held, first, named = (
            set(run.derived.manifest()["set"]),
            run.parameters.set,
            list(run.parameters.sets),
        )
        beside = named if first in named else named[1:]
        self.sets = [first, *(s for s in beside if s != first and s in held)]
        self.representations = list(self.settings.representations)
        self._rows: dict[tuple[str, str], Rows] = {}

    @property
    def primary(self) -> Rows:
        """The primary set with the primary representation."""
        return self.rows(self.sets[0], self.representations[0])

    def rows(self, set_name: str, representation: str) -> Rows:
        """A set with a representation."""
        key = (set_name, representation)
        if key not in self._rows:
            loaded = self.run.load(representation=representation, set=set_name)
            self._rows[key] = Rows.of(loaded)
        return self._rows[key]

    def plan(self, rows: Rows) -> Plan:
        """The primary folds of a set: by infant, drawn without labels."""
        return plan_of(rows, self.settings.folds, self.settings.repeats, self.settings.seed)

    @cached_property
    def primary_plan(self) -> Plan:
        """The folds of the estimate, its test and its interval."""
        return self.plan(self.primary)

    def null(self, rows: Rows, plan: Plan, used: int) -> pd.DataFrame:
        """AUC of the labels as they are and of `used` permutations of them.

        Returns
        -------
        pandas.DataFrame
            ``permutation`` (0: as they are), ``auc``, ``auc_<class>``: means over the repeats.
        """
        drawn = max(self.settings.permutations, used)
        common = {"rows": _bare(rows), "plan": plan, "drawn": drawn, "used": used,
                  "seed": self.settings.seed}  # fmt: skip
        calls = [{"repeat": r} for r in range(len(plan.folds))]
        table = self._gather("null", trials.null, common, calls)
        means = table.groupby("permutation")[permutation.COLUMNS].mean().reset_index()
        means.insert(1, "auc", means[permutation.COLUMNS].mean(axis=1))
        return means

    def refits(self) -> pd.DataFrame:
        """Refitted bootstraps of the primary embeddings and of the metadata, on the same infants."""
        draws = self.settings.refits
        common = {"rows": _bare(self.primary), "plan": self.primary_plan, "draws": draws,
                  "seed": self.settings.seed}  # fmt: skip
        starts = range(0, draws, BLOCK)
        calls = [{"start": s, "stop": min(s + BLOCK, draws)} for s in starts]
        return self._gather("refits", trials.refits, common, calls)

    def simulations(self) -> pd.DataFrame:
        """Simulated studies: small effects in full, large ones in a third of the runs.

        `SIZE_RUNS` times as many again have no effect, for the test's size; some of `COVERED` are
        refitted, for the interval's coverage.
        """
        runs, rows = self.settings.power_runs, _bare(self.primary)
        plain = {"rows": rows, "plan": trials.one_repeat(self.primary_plan, 0),
                 "permutations": LEAST_PERMUTATIONS, "seed": self.settings.seed}  # fmt: skip
        common = {**plain, "runs": runs, "draws": 400}
        asked = (
            (SMALL, 0, runs),
            (LARGE, 0, -(-runs // 3)),
            (COVERED, REFITS_A_RUN, refitted_runs(runs)),
        )
        small, large, refitted = (
            self._gather(
                "power",
                trials.simulated,
                {**common, "effects": effects, "refits": refits},
                [{"run": i} for i in range(n)],
            )
            for effects, refits, n in asked
        )
        starts = range(0, SIZE_RUNS * runs, BLOCK)
        calls = [{"start": s, "stop": min(s + BLOCK, SIZE_RUNS * runs)} for s in starts]
        empty = self._gather("size", trials.sizes, plain, calls)
        tested = pd.concat([small, large]).drop(columns="se_refit")
        errors = refitted[["effect", "run", "se_refit"]]
        tested = tested.merge(errors, on=["effect", "run"], how="left")
        return pd.concat([tested, empty], ignore_index=True)

    def rehearsals(self) -> pd.DataFrame:
        """One synthetic study of every effect, from audio to p."""
        common = {"infants": rehearsed(self.settings.power_runs), "permutations": 2 * 20 - 1,
                  "seed": self.settings.seed}  # fmt: skip
        calls = [{"effect": effect} for effect in power.EFFECTS]
        return self._gather("rehearsal", end_to_end.rehearse, common, calls)

    def ladder(self) -> pd.DataFrame:
        """Out-of-fold predictions of every set, representation, model and rung.

        Part 'oof' holds the recordings as they are; 'oof_copies' (L0 alone) their augmented copies.
        """
        settings, first, tables = self.settings, self.sets[0], []
        for name in self.sets:
            for representation in self.representations:
                rows = self.rows(name, representation)
                tables.append(self._rungs(rows, "logistic_regression", RUNGS))
            tables.append(self._rungs(metadata_rows(rows), "logistic_regression", RUNGS[1:]))
            for model in ("majority", "stratified", "instance_lookup"):
                tables.append(self._rungs(no_sound(rows), model, RUNGS[1:]))
        for model in settings.models:
            rungs = MLP_RUNGS if model == "mlp" else RUNGS
            rows = self.rows(first, self.representations[0])
            tables.append(
                self._rungs(rows, model, rungs, min(settings.ladder_repeats, MODEL_REPEATS))
            )
        return pd.concat(tables, ignore_index=True)

    def meaningless(self) -> pd.DataFrame:
        """The ladder of labels exchanged between infants: whatever it scores above chance is memory.

        Returns
        -------
        pandas.DataFrame
            Predictions as `ladder`, with ``shuffle`` (from 0); part 'oof' alone.
        """
        rows = self.primary
        rng = np.random.default_rng(self.settings.seed)
        drawn = permutation.exchange_labels(rows.recordings, rows.y, SHUFFLES, rng)
        common = {"rows": rows, "labels": drawn, "splits": self.settings.folds,
                  "seed": self.settings.seed}  # fmt: skip
        calls = [{"rung": rung} for rung in RUNGS[:4]]
        return self._gather("meaningless", trials.shuffled, common, calls)

    def strengths(self) -> pd.DataFrame:
        """The primary folds at fixed strengths of the penalty: see `penalty.on_primary_folds`."""
        common = {"rows": _bare(self.primary), "plan": self.primary_plan}
        calls = [{"repeat": r} for r in range(self.settings.repeats)]
        return self._gather("strengths", penalty.on_primary_folds, common, calls)

    def exchanged_beside(self) -> pd.DataFrame:
        """Labels exchanged between infants at the strength `penalty.BESIDE`."""
        common = {"rows": _bare(self.primary), "plan": self.primary_plan, "C": penalty.BESIDE,
                  "exchanges": min(EXCHANGES, self.settings.permutations)}  # fmt: skip
        return self._gather("exchanged", penalty.exchanged, common, [{"seed": self.settings.seed}])

    def ladder_at_strengths(self) -> pd.DataFrame:
        """The primary cell of the ladder at fixed strengths: predictions with ``C``.

        Every rung at `penalty.BESIDE`; those whose inflation is asked at all of `STEEPER` too.
        """
        settings = self.settings
        common = {"rows": self.primary, "splits": settings.folds, "seed": settings.seed}
        rungs = [(C, rung) for C in (penalty.BESIDE, *STEEPER)
                 for rung in (RUNGS if C == penalty.BESIDE else COMPARED)]  # fmt: skip
        calls = [
            {"C": C, "rung": rung, "repeat": r}
            for C, rung in rungs
            for r in range(1 if rung == "L4" else settings.ladder_repeats)
        ]
        return self._gather("ladder-strengths", penalty.rung, common, calls)

    def tried_below(self, representations: Sequence[str]) -> pd.DataFrame:
        """What was tried on representations that score below chance: predictions with ``tried``."""
        settings, tables = self.settings, []
        for representation in representations:
            common = {"rows": _bare(self.rows(self.sets[0], representation)),
                      "folds": settings.folds, "seed": settings.seed}  # fmt: skip
            calls = [
                {"how": how, "repeat": r}
                for how in below_chance.TRIED
                for r in range(settings.repeats)
            ]
            tables.append(self._gather("below", below_chance.tried, common, calls))
        return pd.concat(tables, ignore_index=True)

    def primary_predictions(self) -> pd.DataFrame:
        """Out-of-fold predictions of the primary procedure, every set, representation and repeat."""
        calls = [{"repeat": r} for r in range(self.settings.repeats)]
        tables = []
        for name in self.sets:
            for representation in self.representations:
                rows = self.rows(name, representation)
                common = {"rows": _bare(rows), "plan": self.plan(rows)}
                tables.append(self._gather("primary", trials.primary, common, calls))
        return pd.concat(tables, ignore_index=True)

    def comparisons(self) -> dict[str, pd.DataFrame]:
        """Nulls of all representations over the same first permutations: what `comparison` takes.

        A representation that lacks some of the primary's recordings is left out.
        """
        used, first = self.settings.comparisons, self.primary.recordings["recording"]
        whole = self.null(self.primary, self.primary_plan, self.settings.permutations)
        nulls = {self.representations[0]: whole[whole["permutation"] <= used]}
        for representation in self.representations[1:]:
            rows = self.rows(self.sets[0], representation)
            if rows.recordings["recording"].equals(first):
                nulls[representation] = self.null(rows, self.primary_plan, used)
        return nulls

    def others_detectable(self) -> dict[str, float]:
        """Smallest AUC that each set beside the primary one could have shown, from its null alone."""
        found = {}
        for name in self.sets[1:]:
            rows = self.rows(name, self.representations[0])
            null = self.null(
                rows, self.plan(rows), min(SIDE_PERMUTATIONS, self.settings.permutations)
            )
            found[name] = power.detectable_auc_normal(null, float(null["auc"].iloc[1:].std()))
        return found

    def _rungs(
        self, rows: Rows, model: str, rungs: tuple[str, ...], repeats: int | None = None
    ) -> pd.DataFrame:
        repeats = repeats or self.settings.ladder_repeats
        common = {"rows": rows, "splits": self.settings.folds, "seed": self.settings.seed,
                  "model": model}  # fmt: skip
        calls = [
            {"rung": rung, "repeats": [r]}
            for rung in rungs
            for r in range(1 if rung == "L4" else repeats)
        ]
        return self._gather(f"ladder-{model}", trials.rung, common, calls)

    def _gather(self, name: str, function: Any, common: Any, calls: Any) -> pd.DataFrame:
        return pieces.gather(self.folder, name, function, common, calls, self.n_jobs)


def refitted_runs(power_runs: int) -> int:
    """Of the simulated studies, how many are refitted for their interval's coverage: a quarter."""
    return max(2, power_runs // 4)


def rehearsed(power_runs: int) -> int:
    """Infants of the synthetic studies: four for each simulated one, 24 to 120."""
    return min(120, max(24, 4 * power_runs))


def metadata_rows(rows: Rows) -> Rows:
    """The same recordings described by their metadata alone."""
    X = permutation.metadata_matrix(rows.recordings)
    return _named(rows.with_features(X), "metadata")


def no_sound(rows: Rows) -> Rows:
    """The same recordings with nothing to listen to: for baselines that look labels up."""
    return _named(rows.with_features(np.zeros((len(rows.X), 1))), "none")


def _named(rows: Rows, representation: str) -> Rows:
    return Rows(rows.recordings, rows.X, rows.copies, rows.set, representation)


def _bare(rows: Rows) -> Rows:
    return rows.with_features(rows.X)
