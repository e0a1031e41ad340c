"""Let spacy-transformers 1.4 be imported beside transformers 5: for `make test-next` only.

It takes three names from modules that transformers 5 has moved them out of, and spaCy imports it at every start. The
names themselves are still there, so only the import lines change, in the test environment.

    python -m tests.patch_spacy_transformers
"""

from importlib.util import find_spec
from pathlib import Path

MOVED = {
    "from transformers.tokenization_utils import BatchEncoding": "from transformers import BatchEncoding",
    "from transformers.tokenization_utils_fast import": "from transformers import",
    "from transformers.file_utils import ModelOutput": "from transformers.utils import ModelOutput",
}


def patch() -> None:
    """Change the import lines of the installed spacy-transformers, and say which files."""
    # found without being imported, which would fail
    spec = find_spec("spacy_transformers")
    assert spec is not None and spec.origin is not None
    for path in sorted(Path(spec.origin).parent.rglob("*.py")):
        text = patched = path.read_text(encoding="utf8")
        for old, new in MOVED.items():
            patched = patched.replace(old, new)
        if patched != text:
            path.write_text(patched, encoding="utf8")
            print(f"patched the imports of {path.name}")


if __name__ == "__main__":
    patch()
