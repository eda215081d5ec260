"""Where the data and the pretrained models come from, and where everything is made."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_cuts import NoDataError, is_made, prepare
from settings import DataSet, Model, Setting
from study import Study


@dataclass(frozen=True)
class Place:
    """Where the data come from and where everything is made.

    Attributes:
        setting: How large.
        data: Folder of the sets; None: the hub.
        work: Folder of all that is made.
        encoder: Folder of the encoder that is not on the hub.
        names: Of the models to run; empty: all.
        sets: Names of the data sets to run, where a target has several; empty: all.
        jobs: How many commands run at once, where a target can.
        variants: Labels of the recipes and their variants to run, where a target has several; empty: all.
    """

    setting: Setting
    data: Path | None
    work: Path
    encoder: Path | None
    names: Sequence[str] = ()
    sets: Sequence[str] = ()
    jobs: int = 1
    variants: Sequence[str] = ()

    def models(self) -> list[Model]:
        """Those of the setting that were asked for."""
        return [one for one in self.setting.models if not self.names or one.name in self.names]

    def asked_for(self, names: Iterable[str]) -> list[str]:
        """Those of some data sets that were asked for."""
        return [name for name in names if not self.sets or name in self.sets]

    def study(self, data_set: DataSet, model: Model | None = None) -> Study:
        """Cut the data and find the encoder.

        Args:
            data_set: Which.
            model: Which; None: the first of the setting.

        Returns:
            The study; studies of the same set and model share all files.

        Raises:
            NoDataError: The set is not there, or no encoder; or what is there was made in another way.
        """
        model = model or self.setting.models[0]
        root = self.work / self.setting.name
        cut = root / "data" / data_set.name
        prepare(self.data, data_set, self.setting, cut)
        base = self.encoder if model.hub is None else fetched(model.hub, root / "encoders" / model.name)
        if base is None:
            raise NoDataError(f"{model.name} is not on the hub: --encoder names its folder")
        work = root / model.name / data_set.name
        work.mkdir(parents=True, exist_ok=True)
        again = (self.setting.epochs_for(data_set.name), self.setting.epochs_again, model.learning_rate)
        described = {"weights": (base / "model.safetensors").stat().st_size, "training": list(again)}
        if not is_made(work / "made-with.json", described):
            (work / "made-with.json").write_text(json.dumps(described))
        return Study(work, self.setting, data_set, model, base, cut)


def fetched(name: str, target: Path) -> Path:
    """Take a pretrained model from the hub, its safetensors weights alone."""
    from huggingface_hub import snapshot_download

    if not (target / "config.json").exists():
        files = ["config.json", "model.safetensors", "*token*", "vocab*", "merges.txt"]
        snapshot_download(name, local_dir=target, allow_patterns=files)
    return target
