"""One YAML file a run, `key.sub=value` overrides on the command line, into one frozen pydantic model.

Paths in a config are relative to the working directory; `~` and `${VAR}` are expanded. Secrets never stand in a config:
engines name the environment variable that holds them, and no error shows a value that could be one.
"""

from __future__ import annotations

import argparse
import collections.abc
import difflib
import os
import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from curation.errors import ConfigError

_OVERRIDE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*=")
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_USER: Final = re.compile(r"\S*@")  # user and password of an address
SECRET: Final = re.compile(r"(key|token|secret|passw(or)?d|authorization|credentials?)$", re.IGNORECASE)
_BOUNDS: Final = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))


class Config(BaseModel):
    """The base of every section: frozen, and an unknown key is an error."""

    # A key's meaning is the docstring below it; `python -m curation config` prints it.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def expand(path: Any) -> Any:
    """`~` and `${VAR}` of a path in a config. Raises ValueError for an address and for a variable that is not set."""
    if not isinstance(path, str):
        return path
    if _ADDRESS.match(path):
        raise ValueError("a path on this machine is needed, not an address. Download or mount it first")
    expanded = re.sub(r"\$\{(\w+)\}", lambda match: os.environ.get(match[1], match[0]), path)
    if unset := re.search(r"\$\{(\w+)\}", expanded):
        raise ValueError(f"the environment variable {unset[1]} is not set")
    return str(Path(expanded).expanduser())  # text: pydantic takes no Path out of JSON


LocalPath = Annotated[Path, BeforeValidator(expand)]
ConfigT = TypeVar("ConfigT", bound=BaseModel)


def load_config(model: type[ConfigT], path: Path, overrides: Sequence[str] = ()) -> ConfigT:
    """Read, override, validate. Raises ConfigError with every fault in one line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the config {path}: {getattr(error, 'strerror', None) or error}") from error
    values = _parse(text, str(path))
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold a mapping of sections, not {type(values).__name__}")
    for override in overrides:
        _apply(values, override)
    return validate(model, values, origin=str(path))


def validate(model: type[ConfigT], values: dict[str, Any], *, origin: str) -> ConfigT:
    """Build the model; pydantic's report becomes one line. Raises ConfigError."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{origin}: {'; '.join(_describe(model, fault) for fault in error.errors())}") from None


def dump_config(config: BaseModel) -> str:
    """The resolved config as YAML, in the order of the model."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def add_config_arguments(parser: argparse.ArgumentParser, where: str) -> None:
    """CONFIG and its overrides, for `parse_arguments`; where: a hint such as "see curation/configs/"."""
    parser.add_argument("config", metavar="CONFIG", help=f"a YAML file; {where}")
    parser.add_argument("overrides", nargs="*", metavar="key.sub=value", help="change single keys of it")


def parse_arguments(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """As parser.parse_args; overrides may stand anywhere on a command line that takes a CONFIG.

    Gives `config` (a path) and `overrides`. argparse alone takes positional words from one place only.
    """
    args, further = parser.parse_known_args(argv)
    takes_config = hasattr(args, "overrides")
    if unknown := [word for word in further if word.startswith("-") or not takes_config]:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if takes_config:
        words = [args.config, *args.overrides, *further]
        paths = [word for word in words if not _OVERRIDE.match(word)]
        if len(paths) != 1:
            parser.error(f"one CONFIG is needed, got {' '.join(paths) or 'none'}; an override reads key.sub=value")
        args.config, args.overrides = Path(paths[0]), [word for word in words if _OVERRIDE.match(word)]
    return args


class _Loader(yaml.SafeLoader):
    """YAML without tags that run code, in which no key stands twice: PyYAML would keep the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _parse(text: str, origin: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1} column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{origin} is no YAML{place}: {error.problem}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{origin} is no YAML: {type(error).__name__}") from None


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"an override reads key.sub=value, not {override!r}")
    value = _parse(text, f"the value of override {key}")
    *sections, name = key.split(".")
    for section in sections:
        if values.get(section) is None:
            values[section] = {}
        values = values[section]
        if not isinstance(values, dict):
            raise ConfigError(f"override {key}: {section} is no section")
    values[name] = value


def _describe(model: type[BaseModel], fault: Any) -> str:
    """One fault of pydantic's in a user's words."""
    models, place = _walk(model, fault["loc"])
    context = fault.get("ctx", {})
    match fault["type"]:
        case "extra_forbidden":
            return f"{place}: there is no such key{_nearest(model, models, place)}"
        case "missing":
            return f"{place} is required"
        case "union_tag_invalid":
            tag, known = context["tag"], context["expected_tags"]
            return f"{place}.{context['discriminator'].strip(chr(39))}: {tag!r} is none of {known}"
        case "union_tag_not_found":
            return f"{place}.kind is required: one of {', '.join(map(repr, _kinds(models)))}"
        case "value_error":
            said = str(context["error"])
        case _:
            said = fault["msg"]
    return f"{place or 'config'}: {said}{_shown(place, fault.get('input'))}"


def _shown(place: str, value: object) -> str:
    """What was given, unless it could be a secret."""
    if not isinstance(value, str | int | float | bool) or any(SECRET.search(part) for part in place.split(".")):
        return ""
    if isinstance(value, str):
        value = _USER.sub("***@", value)
    return f" (got {value!r:.60})"


def _nearest(model: type[BaseModel], models: Sequence[type[BaseModel]], place: str) -> str:
    """The key that was probably meant: near in its section, of the same name in another, or near anywhere."""
    section, _, name = place.rpartition(".")
    beside = {key: f"{section}.{key}".lstrip(".") for one in models for key in one.model_fields}
    elsewhere: dict[str, str] = {}
    for key in keys(model):
        elsewhere.setdefault(key.rpartition(".")[2], key)
    for known in (beside, elsewhere):
        if close := difflib.get_close_matches(name, known, 1, 0.7):
            return f"; did you mean {known[close[0]]}?"
    return f"; there are {', '.join(sorted(beside))}"


def keys(model: type[BaseModel]) -> Iterator[str]:
    """Every dotted key of a config, those of each kind of a section included."""
    return (key.name for key in describe_keys(model))


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a config, in words. name: dotted."""

    name: str
    type: str
    default: str
    meaning: str


def describe_keys(model: type[BaseModel], prefix: str = "") -> Iterator[Key]:
    """Every key of a config in its order; of a section that comes in kinds, those of each kind after its `kind`."""
    for name, field in sorted(model.model_fields.items(), key=lambda item: item[0] != "kind"):
        inner = models_in(field.annotation)
        default = "required" if field.is_required() else _show(field.get_default(call_default_factory=True))
        kinds = _kinds((model,)) if name == "kind" else []
        if not inner or default == "null":
            words = "section" if inner else kinds[0] if kinds else _type_in_words(field.annotation, field.metadata)
            meaning = " ".join((field.description or "").split())
            yield Key(f"{prefix}{name}", words, "required" if kinds else default, meaning)
        for one in inner:
            is_mapping = get_origin(field.annotation) in (dict, collections.abc.Mapping)
            yield from describe_keys(one, f"{prefix}{name}.{'NAME.' if is_mapping else ''}")


def _show(default: object) -> str:
    """As a config writes it."""
    if not isinstance(default, tuple | str | int | float | NoneType):
        return "{}"  # a mapping, or a section with defaults of its own
    value = list(default) if isinstance(default, tuple) else default
    return yaml.safe_dump(value, default_flow_style=True, width=200).splitlines()[0]


def _type_in_words(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """Such as "int >= 1 | null" or "frames | none"."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(map(str, parts))
    if origin is Annotated:
        return _type_in_words(parts[0], (*parts[1:], *metadata))
    if origin in (Union, UnionType):
        return " | ".join(_type_in_words(part, metadata if part is not NoneType else ()) for part in parts)
    if origin is tuple:
        return f"[{', '.join(_type_in_words(part) if part is not Ellipsis else '...' for part in parts)}]"
    if origin is not None:
        return "mapping"
    bounds = [f"{sign} {getattr(one, name):g}" for one in metadata for name, sign in _BOUNDS if hasattr(one, name)]
    words = {str: "text", float: "number", Path: "path", NoneType: "null", Any: "any"}
    return " ".join([words.get(annotation, annotation.__name__), *bounds])


def models_in(annotation: Any) -> tuple[type[BaseModel], ...]:
    """The sections that an annotation may hold: of X | None, of a union by kind, of a mapping's values."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return (annotation,)
    return tuple(dict.fromkeys(one for part in get_args(annotation) for one in models_in(part)))


def _walk(model: type[BaseModel], loc: Sequence[str | int]) -> tuple[tuple[type[BaseModel], ...], str]:
    """The sections that hold the last part of pydantic's `loc`, and the key as the user wrote it, without tags."""
    models: tuple[type[BaseModel], ...] = (model,)
    shown: list[str] = []
    for part in loc:
        tagged = tuple(one for one in models if part in _kinds((one,)))
        if tagged and not any(part in one.model_fields for one in models):
            models = tagged
            continue
        shown.append(str(part))
        fields = [one.model_fields[part] for one in models if isinstance(part, str) and part in one.model_fields]
        if fields:
            models = tuple(dict.fromkeys(inner for field in fields for inner in models_in(field.annotation)))
    return models, ".".join(shown)


def _kinds(models: Sequence[type[BaseModel]]) -> list[str]:
    fields = [one.model_fields["kind"] for one in models if "kind" in one.model_fields]
    return [kind for field in fields for kind in get_args(field.annotation)]
