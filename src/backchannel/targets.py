"""Finds the object that the name of a target stands for."""

import importlib
import sys
from pathlib import Path
from typing import Any, cast

from agents import Agent
from chatkit.server import ChatKitServer

from backchannel.application import Application
from backchannel.errors import ConfigurationError


def load_target(spec: str) -> Any:
    """The object that `package.module:attribute` names, looked up in the working directory too.

    The module may be given as the path of its file, as in `examples/app.py:agent`. Then the file's own folder is looked
    up as well, as for a file that Python runs.

    Raises:
        ConfigurationError: There is no such module, file or attribute, or the module fails to load, or another module
            has the name of a file in the working directory.
    """
    module_name, separator, path = spec.rpartition(":")
    if not separator or not module_name or not path:
        raise ConfigurationError(_no_target(spec))
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    file = _file_of(spec, module_name)
    if file is not None:
        module_name = _module_of(spec, file)
    try:
        found: Any = importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also SystemExit, which would end the command without a word
        _check_is_not_shadowed(spec, module_name, file)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigurationError(f"{spec!r}: the module cannot be imported ({reason}).") from error
    _check_is_not_shadowed(spec, module_name, file)
    module = found
    for name in path.split("."):
        if not hasattr(found, name):
            raise ConfigurationError(f"{spec!r}: {module_name} has no {path}.{_what_it_has(module)}")
        found = getattr(found, name)
    return found


def _no_target(spec: str) -> str:
    name = spec.removesuffix(":")
    example = f"{name}:agent" if name and ":" not in name else "app:agent"
    return f"{spec!r} does not name a target: write module:attribute, such as {example}."


def _file_of(spec: str, module_name: str) -> Path | None:
    """The file, if the module is given as a path.

    Raises:
        ConfigurationError: There is no such file.
    """
    text = module_name.replace("\\", "/")
    if not text.endswith(".py") and "/" not in text:
        return None
    given = Path(text).expanduser()
    candidates = (given, given.with_name(f"{given.name}.py"), given / "__init__.py")
    file = next((each for each in candidates if each.is_file()), None)
    if file is None or file.suffix != ".py":
        raise ConfigurationError(f"{spec!r}: there is no file {given.absolute()}.")
    return file.absolute()


def _module_of(spec: str, file: Path) -> str:
    """The name under which to import a file. Adds to `sys.path` what is needed for it.

    A file below the working directory is a module of the folders between, so that relative imports work. Any other
    belongs to the folders above it that are packages.

    Raises:
        ConfigurationError: Its name cannot be imported.
    """
    path = file.parent if file.name == "__init__.py" else file.with_suffix("")
    folder = str(file.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        parts = path.relative_to(Path.cwd()).parts
    except ValueError:
        parts = ()
    if not parts or ".." in parts or not all(part.isidentifier() for part in parts):
        top = path.parent
        while (top / "__init__.py").is_file():
            top = top.parent
        parts = path.relative_to(top).parts
        if str(top) not in sys.path:
            sys.path.insert(0, str(top))
    if any("." in part for part in parts):
        raise ConfigurationError(
            f"{spec!r}: {file} cannot be imported: rename it, without a dot in its name."
        )
    return ".".join(parts)


def _check_is_not_shadowed(spec: str, module_name: str, file: Path | None) -> None:
    """Check that no other module has the name of the file or, by name, of one in the working directory."""
    name = module_name.partition(".")[0]
    loaded = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        candidates = (Path.cwd() / f"{name}.py", Path.cwd() / name / "__init__.py")
        expected = next((each for each in candidates if each.is_file()), None)
    else:
        expected = file
        if (module := sys.modules.get(module_name)) is not None:
            loaded = getattr(module, "__file__", None)
        elif loaded is not None and Path(loaded).parent in file.parents:
            # The file's own package, in which the import failed.
            return
    if loaded is None or expected is None or expected.samefile(loaded):
        return
    raise ConfigurationError(
        f"{spec!r} is not {expected}, because {loaded} has the same module name. Rename your file."
    )


def _what_it_has(module: Any) -> str:
    """Which targets a module has, as a sentence."""
    kinds: tuple[type, ...] = (Agent, Application, ChatKitServer)
    attributes = cast("dict[str, object]", vars(module))
    names = [name for name, value in attributes.items() if isinstance(value, kinds) and name[0] != "_"]
    if names:
        return f" It has: {', '.join(names)}."
    return " A target is an Agent, an Application or a ChatKitServer at the top level, or a function that returns one."
