"""How the component is saved and read again: folders, bytes, and what a config may override."""

from pathlib import Path
from typing import Any, Dict, Iterable, TypeVar, Union

import srsly
from spacy import util
from spacy.pipeline import TrainablePipe

from .errors import ZeroShotError
from .examples.store import ExampleStore
from .labels import LabelSet
from .model.own_embeddings import weights_of
from .model.source import BUNDLED
from .saving import replaced

SETTINGS_FORMAT = 1
Self = TypeVar("Self", bound="Stored")


class Stored(TrainablePipe):
    """The storing half of the component; its settings are documented there."""

    examples: ExampleStore
    _label_set: LabelSet
    _checkpoint: Dict[str, Any]
    _takes_model: bool

    def to_disk(self, path: Union[str, Path], *, exclude: Iterable[str] = ()) -> None:
        """Save the checkpoint as a Hugging Face folder, and labels that were set at run time.

        path (Union[str, Path]): The component's folder.
        exclude (Iterable[str]): "model", "vocab" or "cfg" to leave out.
        """
        writers = {
            "model": self._write_model,
            "cfg": lambda p: srsly.write_json(p, self._settings()),
            "examples": lambda p: self.examples.save_vectors(p, weights_of(self._shim)),
        }
        util.to_disk(path, writers, exclude)

    def from_disk(self: Self, path: Union[str, Path], *, exclude: Iterable[str] = ()) -> Self:
        """Take what to_disk wrote. The checkpoint is loaded at first use.

        path (Union[str, Path]): The component's folder.
        exclude (Iterable[str]): "model", "vocab" or "cfg" to leave out.
        RETURNS (ZeroShotTextCategorizer): The component.
        """
        readers = {
            "cfg": lambda p: self._restore_settings(_read_settings(p)),
            "model": self._read_model,
            "examples": lambda p: self.examples.load_vectors(p, weights_of(self._shim), self._takes_model),
        }
        util.from_disk(path, readers, exclude)
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """RETURNS (bytes): What from_bytes takes. exclude (Iterable[str]): As in to_disk."""
        writers = {
            "cfg": lambda: srsly.json_dumps(self._settings()),
            "model": self._shim.to_bytes,
            "examples": lambda: self.examples.dump_vectors(weights_of(self._shim)),
        }
        return util.to_bytes(writers, exclude)

    def from_bytes(self: Self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> Self:
        """Take what to_bytes gave.

        bytes_data (bytes): The bytes.
        exclude (Iterable[str]): As in to_disk.
        RETURNS (ZeroShotTextCategorizer): The component.
        """
        readers = {
            "cfg": lambda b: self._restore_settings(srsly.json_loads(b)),
            "model": lambda b: self._shim.from_bytes(b) if self._takes_model else None,
            "examples": lambda b: self.examples.take_vectors(b, weights_of(self._shim), self._takes_model),
        }
        util.from_bytes(bytes_data, readers, exclude)
        return self

    @property
    def _shim(self) -> Any:
        return self.model.shims[0]

    def _shim_checkpoint(self) -> Dict[str, Any]:
        """The checkpoint the config names, and what it is for."""
        source = getattr(self._shim, "source", None)
        if source is None:
            return {}
        return {"name": source.name, "revision": source.revision, "architecture": source.component}

    def _write_model(self, folder: Path) -> None:
        with replaced(folder) as fresh:
            self._shim.save(fresh)

    def _read_model(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ZeroShotError("Z051", self.name, path=str(folder.parent), reason="it has no folder 'model'")
        if self._takes_model:
            # absolute: it is read at first use, and the working directory may change until then
            self._shim.restore(folder.resolve())

    def _settings(self) -> Dict[str, Any]:
        """Labels set at run time and examples, beside what the config says, to tell overrides by."""
        shots = {"examples": self.examples.to_dict()} if self.examples else {}
        return {"format": SETTINGS_FORMAT, "checkpoint": self._checkpoint, **self._label_set.to_dict(), **shots}

    def _restore_settings(self, settings: Dict[str, Any]) -> None:
        if settings.get("format", 0) > SETTINGS_FORMAT:
            raise ZeroShotError("Z050", self.name, detail=f"format {settings['format']}")
        self._label_set.restore(settings)
        if "examples" in settings:
            self.examples.restore(settings["examples"])
        # Another checkpoint or architecture, named in spacy.load(config=...), wins over the saved one. The default
        # checkpoint names none.
        architecture = self._checkpoint.get("architecture")
        saved = {"architecture": architecture, **settings.get("checkpoint", {})}
        default = self._checkpoint.get("name") in (None, BUNDLED) and saved["architecture"] == architecture
        self._takes_model = default or saved == self._checkpoint
        if self._takes_model:
            self._checkpoint = saved


def _read_settings(path: Path) -> Dict[str, Any]:
    try:
        return srsly.read_json(path)
    except ValueError as reason:
        raise ZeroShotError("Z051", path=str(path.parent), reason=str(reason)) from reason
