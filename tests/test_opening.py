"""From a name to a pipeline."""

import pytest
import spacy

from spacy_zeroshot.errors import COMPONENT, ZeroShotError
from spacy_zeroshot.opening import build_pipeline, load_pipeline, names_checkpoint, use_gpu, zero_shot_names


def test_names_of_checkpoints_and_pipelines(nli_folder, tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe(COMPONENT, config={"labels": ["a", "b"]})
    nlp.to_disk(tmp_path / "pipeline")
    checkpoints = ["bundled", str(nli_folder), "someone/some-model"]
    # a pipeline's folder has a slash, too; and the checkpoint inside it has a config.json of its own
    pipelines = [str(tmp_path / "pipeline"), "en_core_web_sm", str(tmp_path)]
    assert [names_checkpoint(name) for name in checkpoints + pipelines] == [True] * 3 + [False] * 3
    assert zero_shot_names(load_pipeline(str(tmp_path / "pipeline"), "test")) == [COMPONENT]


def test_a_built_pipeline_has_no_limit_of_characters(nli_folder):
    nlp = build_pipeline(str(nli_folder))
    assert nlp.pipe_names == [COMPONENT]
    assert nlp.max_length > 10**8


def test_z061_names_the_command(tmp_path):
    with pytest.raises(ZeroShotError) as caught:
        load_pipeline(str(tmp_path / "nothing"), "tune")
    assert caught.value.code == "Z061" and "tune" in str(caught.value)


def test_a_components_own_error_is_kept(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe(COMPONENT, config={"labels": ["a", "b"]})
    nlp.to_disk(tmp_path)
    config = (tmp_path / "config.cfg").read_text(encoding="utf8")
    (tmp_path / "config.cfg").write_text(config.replace("about {}.", "about."), encoding="utf8")
    with pytest.raises(ZeroShotError) as caught:
        load_pipeline(str(tmp_path), "tune")
    assert caught.value.code == "Z004"


def test_z063_for_a_gpu_that_is_not_there():
    use_gpu(-1, "evaluate")
    with pytest.raises(ZeroShotError) as caught:
        use_gpu(99, "evaluate")
    assert caught.value.code == "Z063" and "evaluate" in str(caught.value)
