"""Values as files and command lines give them: YAML taken as plain data, and nothing that runs or grows.

A tag that would make an object is an error, as everywhere in YAML's safe subset. So is an alias: a few
lines of them can stand for more values than fit into memory, and no study file needs one.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

from cryhear.errors import ParameterError

DEEPEST = 20
"""Deepest nesting read."""

_UNREADABLE = (
    yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError
)  # fmt: skip
"""What PyYAML raises for text that is no YAML, dates that no calendar has, numbers without end, and
brackets deeper than its stack."""


class _Loader(yaml.SafeLoader):
    """Plain data in which each name stands once: PyYAML itself keeps the last and drops the others."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping; refuse a name that stands twice, and a merge, which hides one."""
        lines: dict[Any, int] = {}
        for name, _ in node.value:
            line = name.start_mark.line + 1
            if name.tag == "tag:yaml.org,2002:merge":
                raise ParameterError(f"line {line} merges a part by '<<'; write it out instead")
            key = self.construct_object(name, deep=True)
            if not isinstance(key, Hashable):
                continue  # PyYAML refuses it below
            if key in lines:
                raise ParameterError(
                    f"line {line} gives {key!r} again, which line {lines[key]} gave; expected each "
                    "name once. Join the two, or take one out"
                )
            lines[key] = line
        return super().construct_mapping(node, deep)


def parse(text: str, where: str) -> Any:
    """Read YAML as plain data.

    Parameters
    ----------
    text : str
    where : str
        Names the text in an error.

    Raises
    ------
    ParameterError
        It is no YAML, asks for an object, gives a name twice, or repeats a part by an alias or a merge.
    """
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                raise _alias(where)
            if depth > DEEPEST:
                # PyYAML's time grows with the square of the depth, and its stack ends.
                raise ParameterError(
                    f"{where} cannot be read as YAML: nested deeper than {DEEPEST}; parameters nest 4 deep"
                )
        return _read(text, where)
    except ParameterError:
        raise
    except _UNREADABLE as error:
        said = " ".join(str(error).split())
        raise ParameterError(
            f"{where} cannot be read as YAML ({type(error).__name__}: {said[:300]}); expected plain "
            "names and values, as in params/default.yaml"
        ) from None


def _read(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except ParameterError as error:
        raise ParameterError(f"{where}: {error}") from None


def typed(config: dict[str, Any]) -> dict[str, Any]:
    """Overrides as Snakemake's ``--config`` gives them, with numbers for what looks like one.

    Parameters
    ----------
    config : dict
        At its top, values have their types; below, all of them are text.

    Raises
    ------
    ParameterError
        A part is repeated by an alias, or a text is no YAML.
    """
    seen: set[int] = set()

    def below(value: Any, where: str) -> Any:
        if isinstance(value, (dict, list)):
            if id(value) in seen:
                raise _alias(where)
            seen.add(id(value))
        if isinstance(value, dict):
            return {key: below(item, f"{where}.{key}") for key, item in value.items()}
        if isinstance(value, list):
            return [below(item, where) for item in value]
        return parse(value, where) if isinstance(value, str) else value

    return {
        key: below(value, f"--config {key}") if isinstance(value, (dict, list)) else value
        for key, value in config.items()
    }


def _alias(where: str) -> ParameterError:
    return ParameterError(f"{where} repeats a part by an alias (*name); write it out instead")
