"""The table of models: figures of BTZSC by the names of the Hub, beside what is measured."""

from pathlib import Path

import pytest
import srsly
from typer.testing import CliRunner

from benchmarks import models


@pytest.fixture
def btzsc(tmp_path: Path) -> Path:
    path = tmp_path / "btzsc_f1.csv"
    path.write_text("mdl,agnews,banking77,imdb,rottentomatoes\ne5-base-v2,.7,.6,.9,.8\nunknown,.1,.1,.1,.1\n", "utf8")
    return path


def test_btzsc_is_read_by_the_names_of_the_sets(btzsc: Path) -> None:
    [(model, scores, mean)] = models.read_btzsc(btzsc)
    assert model.name == "intfloat/e5-base-v2"
    assert scores == [0.7, 0.6, 0.8]
    assert mean == pytest.approx(0.75)


def test_the_best_mean_comes_first(btzsc: Path) -> None:
    folder = btzsc.parent / "clf" / "eval"
    folder.mkdir(parents=True)
    rows = [{"text": text, "labels": [text]} for text in ("sport", "music", "sport")]
    for name in models.SETS.values():
        srsly.write_gzip_jsonl(folder / f"{name}.jsonl.gz", rows)
    app = models.typer.Typer()
    app.command()(models.main)
    result = CliRunner().invoke(app, [str(btzsc.parent)])
    assert result.exit_code == 0, result.output
    table = result.output.splitlines()[2:]
    means = [float(line.split("|")[-3]) for line in table]
    assert means == sorted(means, reverse=True)
    assert sorted(line.split("|")[1].strip() for line in table) == ["`bundled`", "`intfloat/e5-base-v2`"]
