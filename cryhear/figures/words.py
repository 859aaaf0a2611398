"""Values of a figure's table in words, for the alternative text of readers who cannot see it."""

from __future__ import annotations

import re

import pandas as pd

from cryhear.corpus.labels import display_name
from cryhear.figures.style import groups_of


def listed(values: pd.Series, form: str = "{:,.0f}") -> str:
    """Named values in the order in which figures draw them.

    Parameters
    ----------
    values : pandas.Series
        Indexed by what a value belongs to; with two levels, a list for each value of the first.
    form : str, default '{:,.0f}'
        How a value is written.

    Examples
    --------
    >>> counts = pd.Series({"hunger": 742, "pain": 97, "neurological": 88})
    >>> listed(counts)
    'pain 97, hunger 742, neurological 88'
    >>> listed(pd.concat({"ios": counts / 927}), "{:.0%}")
    'iOS: pain 10%, hunger 80%, neurological 9%'
    """
    groups = groups_of(pd.DataFrame({"group": values.index.get_level_values(0)}), "group")
    if values.index.nlevels == 2:
        parts = (f"{display_name(group)}: {listed(values.xs(group), form)}" for group in groups)
        return "; ".join(parts)
    return ", ".join(f"{display_name(group)} {_written(values[group], form)}" for group in groups)


def middles(table: pd.DataFrame, by: str, column: str, form: str = "{:.1f}") -> str:
    """Median and quartiles of a column in each group: what a box plot shows.

    Parameters
    ----------
    table : pandas.DataFrame
    by, column : str
        The groups, and the values (float).
    form : str, default '{:.1f}'
        How a value is written.

    Examples
    --------
    >>> table = pd.DataFrame({"label": ["pain"] * 5, "duration_s": [6.0, 6.5, 7.0, 7.0, 8.0]})
    >>> middles(table, "label", "duration_s")
    'pain 7.0 (6.5 to 7.0)'
    """
    found = []
    for group in groups_of(table, by):
        quartiles = table.loc[table[by] == group, column].quantile([0.25, 0.5, 0.75])
        low, middle, high = (_written(value, form) for value in quartiles)
        found.append(f"{display_name(group)} {middle} ({low} to {high})")
    return ", ".join(found)


def _written(value: float, form: str) -> str:
    """The value, without the sign of a zero that rounding made."""
    text = form.format(value)
    return text if re.search("[1-9]", text) else text.removeprefix("-")
