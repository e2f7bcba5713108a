"""Finds the object that the name of a target stands for."""

import importlib
import sys
from pathlib import Path
from typing import Any

from backchannel.errors import ConfigurationError


def load_target(spec: str) -> Any:
    """The object that `package.module:attribute` names, looked up in the working directory too.

    Raises:
        ConfigurationError: There is no such module or attribute, or the module fails to load, or an installed package
            has the name of a file in the working directory.
    """
    module_name, separator, path = spec.rpartition(":")
    if not separator or not module_name or not path:
        raise ConfigurationError(
            f"{spec!r} does not name a target: write module:attribute, such as app:agent."
        )
    _check_is_no_path(spec, module_name, path)
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also SystemExit, which would end the command without a word
        _check_is_not_shadowed(spec, module_name)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigurationError(f"{spec!r}: the module cannot be imported ({reason}).") from error
    _check_is_not_shadowed(spec, module_name)
    for name in path.split("."):
        if not hasattr(found, name):
            raise ConfigurationError(f"{spec!r}: {module_name} has no {path}.")
        found = getattr(found, name)
    return found


def _check_is_no_path(spec: str, module_name: str, path: str) -> None:
    parts = module_name.removesuffix(".py").replace("\\", "/").removeprefix("./").split("/")
    if len(parts) == 1 and not module_name.endswith(".py"):
        return
    if all(part.isidentifier() for part in parts):
        raise ConfigurationError(f"{spec!r} is the path of a file: write {'.'.join(parts)}:{path}.")
    raise ConfigurationError(
        f"{spec!r} is the path of a file: change to its folder and write module:attribute, such as app:agent."
    )


def _check_is_not_shadowed(spec: str, module_name: str) -> None:
    """Check that the module is the one in the working directory, if there is one of that name."""
    name = module_name.partition(".")[0]
    loaded = getattr(sys.modules.get(name), "__file__", None)
    candidates = (Path.cwd() / f"{name}.py", Path.cwd() / name / "__init__.py")
    expected = next((each for each in candidates if each.is_file()), None)
    if loaded is None or expected is None or expected.samefile(loaded):
        return
    raise ConfigurationError(
        f"{spec!r} is not {expected}, because {loaded} has the same module name. Rename your file."
    )
