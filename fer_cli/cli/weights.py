"""``fer weights verify``: check pretrained weights against a network before training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fer_cli.cli.options import expand_path
from fer_cli.cli.screen import say, show

weights_app = typer.Typer(help="Pretrained weights.", no_args_is_help=True)


@weights_app.callback()
def group() -> None:
    """Keep ``verify`` a subcommand although it is the only one."""


@weights_app.command(epilog="Example: fer weights verify resnet50-0676ba61.pth --model resnet50")
def verify(
    file: Annotated[
        Path, typer.Argument(callback=expand_path, help="File written by torch.save, e.g. torchvision ImageNet weights.")
    ],
    model: Annotated[str, typer.Option("--model", "-m", help="Name of a backbone, e.g. resnet50.")],
    channels: Annotated[int, typer.Option("--channels", help="Input channels: 1 or 3.")] = 3,
    size: Annotated[int, typer.Option("--size", min=16, max=512, help="Side of the images in pixels.")] = 224,
) -> None:
    """Load a file into a network, report matching tensors and the checksum; exit 2 if too few match."""
    from pydantic import ValidationError

    from fer_cli.config import BACKBONES, DataConfig, ModelConfig
    from fer_cli.errors import StudyError, nearest
    from fer_cli.models.build import build_model
    from fer_cli.models.weights import load_weights_file
    from fer_cli.yamls import explain

    if model not in BACKBONES:
        raise StudyError(f"--model {model}: no such network{nearest(model, BACKBONES)}")
    try:
        config = ModelConfig.model_validate({"backbone": model, "channels": channels})
    except ValidationError as error:
        raise StudyError(f"--{explain(error, ModelConfig)}") from None
    network = build_model(config, 7, attention=False, image_size=size, frames=DataConfig().frames).get_submodule("backbone")
    loaded = load_weights_file(file, network)
    show(f"{loaded}; SHA-256 {loaded.sha256}")
    say(f"next: set model.backbone: {model}, model.channels: {channels} and model.weights: {file} in a study")
