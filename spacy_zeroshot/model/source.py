"""Where a checkpoint comes from: the bundled one, a folder, the Hub, or bytes of a saved pipeline."""

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Dict, Optional

BUNDLED = "bundled"
BUNDLED_FOLDER = Path(__file__).parent.parent / "bundled"
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Source:
    """What to load.

    name (str): "bundled", a Hugging Face Hub name, or a folder.
    revision (Optional[str]): A commit or tag of a Hub name: pins config, tokenizer and weights.
    local_files_only (bool): Never ask the network.
    use_safetensors (bool): Refuse pickled weights.
    component (str): Who asks for it, for errors.
    """

    name: str
    revision: Optional[str] = None
    local_files_only: bool = False
    use_safetensors: bool = True
    component: str = "NLIClassifier"

    @property
    def is_bundled(self) -> bool:
        return self.name == BUNDLED

    @property
    def location(self) -> str:
        """What transformers' from_pretrained is given."""
        return str(BUNDLED_FOLDER) if self.is_bundled else self.name

    @property
    def is_folder(self) -> bool:
        return Path(self.location).is_dir()

    def pinned(self, config: Any) -> "Source":
        """The revision that a config came from: a branch of the Hub may move on between two files.

        config (PretrainedConfig): The config.
        RETURNS (Source): The same checkpoint at that commit.
        """
        return replace(self, revision=getattr(config, "_commit_hash", None) or self.revision)


@lru_cache(maxsize=1)
def bundled_hash() -> str:
    """SHA-256 of the installed bundled weights, which a saved pipeline refers to.

    RETURNS (str): The digest, in hexadecimal.
    """
    with (BUNDLED_FOLDER / WEIGHTS).open("rb") as file_:
        digest = hashlib.sha256()
        while block := file_.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_folder(folder: Path) -> Dict[str, bytes]:
    """Read the files of a checkpoint folder and of the folders in it.

    folder (Path): The folder.
    RETURNS (Dict[str, bytes]): Contents by path in the folder, parts divided by "/".
    """
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def write_folder(folder: Path, files: Dict[str, bytes]) -> None:
    """Write the files of a checkpoint folder.

    folder (Path): The folder; made if it is not there.
    files (Dict[str, bytes]): Contents by path in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        # a path that leads out of the folder leads into it
        path = folder.joinpath(*(part for part in PurePosixPath(name).parts if part not in ("..", "/")))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
