"""The plugin of pytest: the fixture ``parity``, the option --parity-report.

It is loaded where this project is installed, and by ``pytest -p
parity_tests.plugin`` elsewhere.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from parity_tests.check import check_pair
from parity_tests.result import Result
from parity_tests.side import Build


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--parity-report DIR``: where the pages of all checks go."""
    parser.getgroup("parity").addoption(
        "--parity-report",
        type=Path,
        metavar="DIR",
        help="write a page for each check of the fixture parity",
    )


@pytest.fixture
def parity(request: pytest.FixtureRequest) -> Callable[..., Result]:
    """``check_pair``, which fails the test if the port diverges.

    Example:
        A test of a file of your own::

            def test_port(parity):
                parity(reference, port, batches(), lockstep=True)
    """
    pages: list[Path] = []

    def check(
        reference: Build, port: Build, batches: Iterable[Any], **options: Any
    ) -> Result:
        __tracebackhide__ = True
        result = check_pair(reference, port, batches, **options)
        if folder := request.config.getoption("parity_report"):
            folder.mkdir(parents=True, exist_ok=True)
            name = re.sub(r"[^\w.-]+", "-", request.node.nodeid).strip("-")
            number = f"-{len(pages) + 1}" if pages else ""
            pages.append(folder / f"{name}{number}.html")
            result.html(pages[-1])
        result.raise_if()
        return result

    return check
