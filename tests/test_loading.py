"""From a name to a pipeline and its component."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import spacy

from spacy_zeroshot.errors import ZeroShotError, named
from spacy_zeroshot.loading import (
    build_pipeline,
    find_component,
    import_code,
    load_pipeline,
    names_checkpoint,
    open_pipeline,
    read_label_list,
    unneeded_pipes,
    use_gpu,
)

from .util import LABELS, make_nlp

COMPONENT = "zero_shot_textcat"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, nli_folder: Path) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    make_nlp(nli_folder, threshold=0.7).to_disk(folder)
    return folder


def test_names_of_checkpoints_and_pipelines(nli_folder: Path, saved: Path, tmp_path: Path) -> None:
    checkpoints = ["bundled", str(nli_folder), "someone/some-model"]
    # a pipeline's folder has a slash, too; and the checkpoint inside it has a config.json of its own
    pipelines = [str(saved), "en_core_web_sm", str(tmp_path)]
    assert [names_checkpoint(name) for name in checkpoints + pipelines] == [True] * 3 + [False] * 3


def test_what_is_given_is_set(nli_folder: Path, saved: Path) -> None:
    nlp, pipe = open_pipeline(str(saved))
    assert pipe is nlp.get_pipe(COMPONENT) and list(pipe.labels) == LABELS and not pipe.multi_label
    _, pipe = open_pipeline(saved, labels=["a", "b"], templates=["{}!"], multi_label=True)
    assert pipe.labels == ("a", "b") and pipe.templates == ("{}!",) and pipe.multi_label and pipe.threshold == 0.7
    assert pipe.label_set().hypotheses == ("a!", "b!")
    assert open_pipeline(model=str(nli_folder), labels=["x"])[1].labels == ("x",)
    assert open_pipeline(str(nli_folder), labels=["x"])[1].labels == ("x",)
    assert open_pipeline(nlp)[0] is nlp
    with pytest.raises(ZeroShotError, match="Z068"):
        open_pipeline(str(saved), model="bundled")


def test_a_config_in_place_of_what_was_saved(saved: Path) -> None:
    nlp = load_pipeline(str(saved), config={"components": {COMPONENT: {"threshold": 0.2}}})
    assert find_component(nlp).threshold == 0.2


def test_a_built_pipeline_has_no_limit_of_characters(nli_folder: Path) -> None:
    nlp = build_pipeline(str(nli_folder))
    assert nlp.pipe_names == [COMPONENT]
    assert nlp.max_length > 10**8


def test_the_component_is_found_among_others(nli_folder: Path) -> None:
    nlp = spacy.blank("en")
    other = nlp.add_pipe("textcat_multilabel")
    for name in ("first", "second"):
        nlp.add_pipe(COMPONENT, name=name, config={"labels": LABELS})
    nlp.add_pipe("sentencizer")
    assert find_component(nlp).name == "first" and find_component(nlp, "second").name == "second"
    assert unneeded_pipes(nlp, find_component(nlp)) == ["second", "sentencizer"]
    assert unneeded_pipes(nlp, find_component(nlp, "second")) == ["first", "sentencizer"]
    with pytest.raises(ZeroShotError, match=r"Z062.*no third component.*first.*second"):
        find_component(nlp, "third")
    with pytest.raises(ZeroShotError, match="Z062"):
        find_component(nlp, other.name)
    with pytest.raises(ZeroShotError, match=r"Z062.*no zero_shot_textcat component"):
        find_component(spacy.blank("en"))


def test_errors_name_the_command(tmp_path: Path) -> None:
    with named("tune"), pytest.raises(ZeroShotError, match=r"\[Z061\] tune: "):
        load_pipeline(str(tmp_path / "nothing"))


def test_a_components_own_error_is_kept(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    config = (saved / "config.cfg").read_text(encoding="utf8")
    (tmp_path / "config.cfg").write_text(config.replace("about {}.", "about."), encoding="utf8")
    with pytest.raises(ZeroShotError, match="Z004"):
        load_pipeline(str(tmp_path))
    (tmp_path / "config.cfg").write_text(config.replace('pooling = "max"', "pooling = 3"), encoding="utf8")
    with pytest.raises(ZeroShotError, match=r"Z061.*pooling"):
        load_pipeline(str(tmp_path))


def test_a_users_code_is_run(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("from spacy.util import registry\n\n@registry.misc('loading.mine')\ndef mine():\n    return 7\n")
    import_code(path)
    import_code(None)
    assert spacy.registry.get("misc", "loading.mine")() == 7


@pytest.mark.parametrize(
    "content", [None, "def broken(:\n", "import no_such_module_at_all\n", "1 / 0\n", "x = [][1]\n"]
)
def test_code_that_cannot_be_run(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "mine.py"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ZeroShotError, match=r"Z060.*--code.*mine\.py"):
        import_code(path)


def test_a_gpu_that_is_not_there() -> None:
    use_gpu(-1)
    with pytest.raises(ZeroShotError, match="Z063"):
        use_gpu(99)


def test_labels_in_a_line() -> None:
    assert read_label_list("") == []
    assert read_label_list("sport, politics ,,music") == ["sport", "politics", "music"]
    assert read_label_list('["a, b", "c"]') == ["a, b", "c"]
    for wrong in ('["a", 1]', '["a"'):
        with pytest.raises(ZeroShotError, match="Z060"):
            read_label_list(wrong)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.txt", "sport\n\n art, music \n"),
        ("labels", "sport\nart, music"),
        ("labels.json", json.dumps(["sport", "art, music"])),
        ("labels.jsonl", '{"label": "sport"}\n{"label": "art, music"}\n{"label": "sport"}\n'),
        ("labels.csv", 'id,label\n1,sport\n2,"art, music"\n'),
    ],
)
def test_labels_in_a_file(tmp_path: Path, name: str, content: str) -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / name).write_text(content, encoding=encoding)
        assert read_label_list(str(tmp_path / name)) == ["sport", "art, music"]


def test_a_file_of_labels_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('{"sport": 1}')
    with pytest.raises(ZeroShotError, match=r"Z060.*JSON list"):
        read_label_list(str(tmp_path / "labels.json"))
    with pytest.raises(ZeroShotError, match=r"Z060.*no such file"):
        read_label_list(str(tmp_path / "labels.txt"))
    # a label may look like a file in a list of others
    assert read_label_list("a.csv, b") == ["a.csv", "b"]


def test_a_language_is_opened_in_place(nli_folder: Path) -> None:
    nlp: Any = make_nlp(nli_folder)
    assert open_pipeline(nlp, labels=["x", "y"])[0].get_pipe(COMPONENT).labels == ("x", "y")
