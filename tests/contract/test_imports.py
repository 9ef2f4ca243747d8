"""Who imports whom, and what files are called: no import circle, and one name for one thing."""

from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

SOURCE = Path(__file__).parents[2] / "src" / "carina"


def test_no_file_imports_a_file_that_imports_it() -> None:
    graph = grimp.build_graph("carina")
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    # The package hands out the names of its parts, and no part asks it.
    del imports["carina"]
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_no_part_imports_the_package() -> None:
    graph = grimp.build_graph("carina")
    assert graph.find_modules_that_directly_import("carina") == set()


def test_each_file_has_a_name_of_its_own() -> None:
    paths = defaultdict(list)
    for path in SOURCE.rglob("*.py"):
        # A file of the command line has the name of its command.
        if path.stem != "__init__" and "cli" not in path.parts:
            paths[path.stem].append(str(path.relative_to(SOURCE)))
    assert {name: found for name, found in paths.items() if len(found) > 1} == {}
