"""What docs/command.md says that the command prints is what it prints."""

import re
import shlex

import pytest
from nll_fast import cli

from .conftest import ROOT, shared

BLOCKS = re.findall(r"```console\n\$ nll-fast (.+)\n([^`]*)```", (ROOT / "docs/command.md").read_text())


def test_the_document_shows_every_command():
    assert [command.split()[0] for command, _ in BLOCKS] == ["score", "compare", "info"]


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_what_the_document_shows_is_printed(number, monkeypatch, capsys):
    command, want = BLOCKS[number]
    arguments = shlex.split(command)
    inside = (ROOT / "examples" / arguments[1]).exists()
    monkeypatch.chdir(ROOT / "examples" if inside else shared("llamacpp"))
    assert cli.main(arguments) == 0
    got = capsys.readouterr().out
    assert [line for line in got.splitlines() if not line.startswith("time")] == [
        line for line in want.splitlines() if not line.startswith("time")
    ]
