"""Every figure: drawn from a small table, labelled, deterministic, and leaving its table alone."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from figure_tables import EXAMPLES, draw, metric_rows

from cryhear import figures
from cryhear.corpus.labels import CLASSES
from cryhear.errors import EvaluationError

DRAWING = 1e-9
"""Coordinates go through float64 only: anything above rounding is a wrong mark."""


def texts(figure) -> list[str]:
    return [
        t.get_text()
        for t in figure.findobj(lambda a: hasattr(a, "get_text"))
        if t.get_text().strip()
    ]


def svg_bytes(case: str) -> bytes:
    buffer = io.BytesIO()
    draw(case).savefig(buffer, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return buffer.getvalue()


def _names(axes) -> list[str]:
    """Tick labels in words: they name an axis of groups."""
    return [t.get_text() for t in axes.get_xticklabels() if t.get_text().isalpha()]


def test_exported_names_are_these() -> None:
    drawn = {case.split(":")[0] for case in EXAMPLES}
    assert set(dir(figures)) == drawn
    with pytest.raises(AttributeError, match=r"has no figure 'pie'; it has .*ages"):
        figures.pie  # noqa: B018


def test_import_loads_no_matplotlib() -> None:
    code = "import sys, cryhear.figures; print('matplotlib' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize("case", EXAMPLES)
def test_every_figure_is_labelled_and_leaves_its_table_alone(case: str) -> None:
    import matplotlib

    settings = dict(matplotlib.rcParams)
    arguments, options = EXAMPLES[case]()
    before = [a.copy() if isinstance(a, pd.DataFrame) else a for a in arguments]
    figure = getattr(figures, case.split(":")[0])(*arguments, **options)
    for was, now in zip(before, arguments, strict=True):
        if isinstance(was, pd.DataFrame):
            pd.testing.assert_frame_equal(was, now)
    assert dict(matplotlib.rcParams) == settings
    named = [
        a.get_xlabel() or a.get_ylabel() or a.get_title() or a.get_title("left") or _names(a)
        for a in figure.axes
        if a.axison
    ]
    assert all(named)
    assert figure.get_size_inches()[0] == figures.style.WIDTH
    sized = figure.findobj(lambda a: hasattr(a, "get_fontsize"))
    small = [t.get_text() for t in sized if t.get_fontsize() < 9]
    assert not small
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )


@pytest.mark.parametrize(
    "case", ["ladder", "infant_mosaic", "spectrograms", "roc", "projection:infant"]
)
def test_svg_bytes_are_the_same_for_the_same_table(case: str) -> None:
    first, second = svg_bytes(case), svg_bytes(case)
    assert first == second
    assert b"<dc:date>" not in first
    assert b"http" not in first.replace(b"http://www.w3.org", b"").replace(
        b"http://purl.org", b""
    ).replace(b"http://creativecommons.org", b"").replace(b"https://matplotlib.org", b"")
    assert len(first) < 400_000


def test_plain_savefig_is_deterministic_too(tmp_path) -> None:
    for name in ("a.svg", "b.svg"):
        draw("null_distribution").savefig(
            tmp_path / name, metadata={"Date": None}, bbox_inches="tight"
        )
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize("case", EXAMPLES)
def test_a_missing_column_or_an_empty_table_is_refused_by_name(case: str) -> None:
    name = case.split(":")[0]
    (table, *rest), options = EXAMPLES[case]()
    function = getattr(figures, name)
    with pytest.raises(EvaluationError, match=f"figure {name} got a table"):
        function(table.rename(columns=lambda c: f"not_{c}"), *rest, **options)
    with pytest.raises(EvaluationError, match="of no rows; expected at least one"):
        function(table.iloc[:0], *rest, **options)


def test_class_styles_are_the_same_everywhere_and_tell_apart_in_grey() -> None:
    style = figures.style.CLASS_STYLE
    assert [style[c]["color"] for c in CLASSES] == ["#D55E00", "#0072B2", "#009E73"]
    for what in ("marker", "linestyle", "hatch"):
        assert len({style[c][what] for c in CLASSES}) == len(CLASSES)
    assert not {s["color"] for s in figures.style.SERIES} & {s["color"] for s in style.values()}


def test_a_representation_has_one_colour_whatever_stands_beside_it() -> None:
    style_of, colours = figures.style.style_of, figures.style.REPRESENTATIONS
    tables = (
        ["yamnet", "egemaps", "logmel"],
        ["no sound", "logmel", "yamnet", "hear"],
        ["metadata, no sound (uploads)", "log-mel (uploads)", "YAMNet, MLP (uploads)", "eGeMAPS (cleaned)"],
        ["file: log-mel", "infant: YAMNet", "HeAR", "HeAR (PyTorch)"],
    )  # fmt: skip
    for groups in tables:
        drawn = {group: style_of(group, groups) for group in groups}
        for group, style in drawn.items():
            own = [
                name
                for name in colours
                if figures.style.display_name(name) in group or name == group
            ]
            if own:
                assert style["color"] == colours[max(own, key=len)]
            else:
                assert style["color"] not in colours.values()
        looks = {tuple(map(str, (s["color"], s["marker"], s["linestyle"]))) for s in drawn.values()}
        assert len(looks) == len(groups)


def test_a_row_with_one_dot_has_it_on_its_own_line() -> None:
    table = pd.DataFrame(
        {
            "model": ["majority", "mlp", "mlp"],
            "representation": ["no sound", "yamnet", "logmel"],
            "value": [0.33, 0.4, 0.5],
        }
    )
    axes = figures.model_comparison(table, series="representation").axes[0]
    y = {c.get_label(): list(c.lines[0].get_ydata()) for c in axes.containers}
    assert y["no sound"] == [0]
    assert sum(y["YAMNet"] + y["log-mel"]) == pytest.approx(2)
    assert y["YAMNet"] != y["log-mel"]


def class_scores() -> pd.DataFrame:
    return metric_rows("label", CLASSES, ("precision", "recall", "F1"))


def test_bars_draw_the_values_and_intervals_of_their_table() -> None:
    table = class_scores()
    axes = figures.score_bars(table, "label", "guessing").axes[0]
    boxes = [c for c in axes.containers if hasattr(c, "patches")]
    assert [b.get_label() for b in boxes] == list(CLASSES)
    for box in boxes:
        rows = table[table["label"] == box.get_label()]
        assert np.allclose([p.get_height() for p in box.patches], rows["value"], atol=DRAWING)
        segments = np.asarray(box.errorbar.lines[2][0].get_segments())
        assert np.allclose(segments[:, :, 1], rows[["low", "high"]], atol=DRAWING)


def test_forest_draws_values_chance_and_what_was_not_run() -> None:
    (table,), _ = EXAMPLES["model_comparison"]()
    figure = draw("model_comparison")
    axes = figure.axes[0]
    drawn = np.asarray(axes.containers[0].lines[0].get_xdata(), dtype=float)
    assert np.allclose(drawn, table["value"], atol=DRAWING, equal_nan=True)
    chance = next(line for line in axes.lines if line.get_label() == "chance")
    assert np.allclose(chance.get_xdata(), 1 / 3, atol=DRAWING)
    assert "not run: gated weights" in texts(figure)
    assert [t.get_text() for t in axes.get_yticklabels()][-2:] == ["MLP", "HeAR"]


def test_roc_draws_bands_areas_and_the_diagonal() -> None:
    (table, area), _ = EXAMPLES["roc"]()
    figure = draw("roc")
    axes = figure.axes[0]
    pain = axes.lines[0]
    assert pain.get_color() == figures.style.CLASS_STYLE["pain"]["color"]
    rows = table[table["label"] == "pain"]
    assert np.allclose(pain.get_ydata(), rows["true_positive_rate"], atol=DRAWING)
    assert len(axes.collections) == table["label"].nunique()
    row = area.iloc[0]
    assert f"pain, AUC {row['value']:.2f} ({row['low']:.2f} to {row['high']:.2f})" in texts(figure)
    assert "chance" in texts(figure)


def test_every_quantity_of_a_summary_has_its_own_chance_under_its_own_bars() -> None:
    (table,), _ = EXAMPLES["score_bars"]()
    axes = draw("score_bars").axes[0]
    label = "always naming the commonest class"
    marks = [
        tuple(np.mean(segment, axis=0))
        for c in axes.collections
        if c.get_label() == label
        for segment in c.get_segments()
    ]
    assert len(marks) == len(table)
    assert not [
        line for line in axes.lines if line.get_label() == label
    ]  # none through all of them
    names = [t.get_text() for t in axes.get_xticklabels()]
    assert names == ["accuracy", "balanced accuracy", "weighted F1", "macro AUC"]
    metrics = list(dict.fromkeys(table["metric"]))
    for x, y in marks:
        metric = metrics[round(x)]
        assert table.loc[table["metric"] == metric, "chance"].iloc[0] == pytest.approx(y)


@pytest.mark.parametrize(
    ("case", "label"),
    [
        ("umap_stability", "the same map, recordings shuffled"),
        ("beside_original", "chance"),
        ("controls", "chance"),
    ],
)
def test_rows_of_different_quantities_have_a_chance_each(case: str, label: str) -> None:
    (table, *_), _ = EXAMPLES[case]()
    rows = (
        table["chance"] if "quantity" not in table else table.groupby("quantity")["chance"].mean()
    )
    [lines] = [c for c in draw(case).axes[0].collections if c.get_label() == label]
    assert len(lines.get_segments()) == len(rows)
    drawn = sorted(float(s[0][0]) for s in lines.get_segments())
    assert np.allclose(drawn, sorted(rows), atol=DRAWING)


def test_searches_by_different_scores_share_no_axis() -> None:
    labels = [axes.get_xlabel() for axes in draw("search").axes]
    assert len(labels) == 2
    assert sum("nats" in label for label in labels) == 1
    assert sum("balanced accuracy" in label for label in labels) == 1


def test_only_rows_that_share_the_settings_are_filled() -> None:
    axes = draw("beside_original").axes[0]
    ours = {c.get_label(): c.lines[0] for c in axes.containers}
    assert set(ours) == {"this study, same split only", "this study, same folds and grid"}
    one, others = (
        ours[f"this study, {what}"] for what in ("same folds and grid", "same split only")
    )
    assert [len(line.get_xdata()) for line in (one, others)] == [1, 5]
    assert [line.get_markerfacecolor() for line in (one, others)] == [figures.style.INK, "white"]


def test_a_spectrum_ends_where_there_is_no_signal() -> None:
    (table,), options = EXAMPLES["spectra"]()
    figure = figures.spectra(table, **options)
    axes = figure.axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    assert np.isfinite(lines["uploads"].get_ydata()).all()
    hertz = np.asarray(lines["cleaned"].get_xdata()) * 1000
    drawn = np.isfinite(np.asarray(lines["cleaned"].get_ydata(), dtype=float))
    assert not drawn[hertz > 4000].any()
    assert drawn[hertz <= 4000].all()
    assert "cleaned: no signal" in texts(figure)


def test_the_first_component_is_in_sight() -> None:
    axes = draw("pca_variance").axes[0]
    assert axes.get_xscale() == "log"
    assert axes.get_xlim()[0] < 1
    assert "first: 30%" in [t.get_text() for t in axes.texts]


def test_null_distribution_leaves_the_observed_row_out() -> None:
    table = pd.DataFrame({"permutation": range(101), "auc": [0.9] + [0.5] * 100})
    figure = figures.null_distribution(table, observed=0.9, p=0.01)
    assert sum(p.get_height() for p in figure.axes[0].patches) == 100
    assert "observed 0.90, p = 0.010" in texts(figure)


def test_split_proof_shows_what_overlap_proof_counts() -> None:
    from cryhear.corpus.splits import overlap_proof

    recordings = pd.DataFrame(
        {"recording": list("abcd"), "infant": ["i", "i", "j", "k"], "label": ["pain"] * 4}
    )
    table = overlap_proof(recordings, np.array(["train", "holdout", "train", "holdout"])).assign(
        unit="file"
    )
    cells = [t.get_text() for t in figures.split_proof(table).axes[0].texts]
    assert cells == ["2", "1", "1", "2"]


def test_small_training_histories() -> None:
    assert draw("learning_curves").axes[2].get_xlabel() == "Epoch"


def test_classes_keep_their_order_whatever_the_table() -> None:
    figure = figures.score_bars(class_scores().iloc[::-1], "label", "guessing")
    assert [t.get_text() for t in figure.legends[0].get_texts()] == list(CLASSES)


def test_values_in_words_stand_in_the_order_they_are_drawn_in() -> None:
    listed, middles = figures.words.listed, figures.words.middles
    assert listed(pd.Series({"neurological": 1234, "pain": 3})) == "pain 3, neurological 1,234"
    assert listed(pd.Series({"": 1, "android": 2})) == "Android 2, unknown 1"
    assert listed(pd.Series({"a": -0.3, "b": -12.4}), "{:.0f} dB") == "a 0 dB, b -12 dB"
    parts = pd.Series({("test", "pain"): 0.2, ("train", "hunger"): 0.75, ("train", "pain"): 0.25})
    assert listed(parts, "{:.0%}") == "train: pain 25%, hunger 75%; test: pain 20%"
    table = pd.DataFrame({"kind": pd.Categorical(["b", "b", "a"]), "distance": [1.0, 3.0, 5.0]})
    assert middles(table, "kind", "distance") == "a 5.0 (5.0 to 5.0), b 2.0 (1.5 to 2.5)"
