"""The command line of `benchmark`; what it measures is tested in tests/test_benchmark.py."""

import json

import pytest


def test_writes_what_it_measured(run, tmp_path):
    path = tmp_path / "out.json"
    result = run("benchmark", "--only", "start", "--rounds", "1", "--json", path)
    assert result.exit_code == 0, result.output
    assert "Cold start" in result.stdout
    found = json.loads(path.read_text(encoding="utf8"))
    assert found["start"]["ratio"]["median"] > 0
    assert found["speeds"] == []
    assert found["machine"]["device"] == "cpu"


@pytest.mark.parametrize("arguments", [["--only", "nothing"], ["--picture", "cost.doc", "--only", "start"]])
def test_refuses(run, arguments):
    result = run("benchmark", *arguments)
    assert result.exit_code == 1
    assert result.stderr.count("error: ") == 1
    assert result.stderr.count("\n") == 1
