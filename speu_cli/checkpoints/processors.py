"""What makes the inputs of a model: its tokenizer, or its image processor."""

from pathlib import Path

from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    BaseImageProcessor,
    PretrainedConfig,
    PreTrainedTokenizerBase,
)

from speu_cli.errors import ArtifactError

ImageProcessor = BaseImageProcessor
Processor = PreTrainedTokenizerBase | ImageProcessor


def load_processor(folder: Path, config: PretrainedConfig, *, images: bool) -> Processor:
    """Load what makes the inputs of a model of texts or of images.

    Args:
        folder: The checkpoint folder.
        config: Of the model.
        images: Whether it is one of images.

    Returns:
        The tokenizer, or the image processor.
    """
    return load_image_processor(folder, config) if images else load_tokenizer(folder)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load a checkpoint folder's tokenizer.

    Args:
        folder: The checkpoint folder.

    Returns:
        The tokenizer.

    Raises:
        ArtifactError: The folder has no loadable tokenizer.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # many types, each meaning "not loadable"
        raise ArtifactError(f"cannot load the tokenizer in {folder}: {first_line(error)}") from error
    # Without a vocabulary the library makes up a tokenizer that knows no word.
    files = tokenizer.vocab_files_names.values()
    if files and not any((folder / name).is_file() for name in files):
        raise ArtifactError(
            f"{folder} holds no tokenizer, expected one of {', '.join(sorted(files))}",
            hint="copy the tokenizer's files from the checkpoint that the model was trained from",
        )
    return tokenizer


def load_image_processor(folder: Path, config: PretrainedConfig) -> ImageProcessor:
    """Load a checkpoint folder's image processor, and try it.

    Args:
        folder: The checkpoint folder.
        config: Of the model, which says what images it takes.

    Returns:
        The image processor.

    Raises:
        ArtifactError: The folder has no loadable one, or one whose images the model does not take.
    """
    from PIL import Image

    try:
        # One backend everywhere: others scale images to other pixels.
        processor: ImageProcessor = AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, backend="pil"
        )
        pixels = processor([Image.new("RGB", (9, 7))], return_tensors="pt")["pixel_values"]
    except Exception as error:  # as for the tokenizer
        raise ArtifactError(
            f"cannot load the image processor in {folder}: {first_line(error)}",
            hint="expected preprocessor_config.json, as the checkpoint has it that the model comes from",
        ) from error
    size = getattr(config, "image_size", None)
    expected = [size, size] if isinstance(size, int) else size
    if expected is not None and list(pixels.shape[2:]) != list(expected):
        raise ArtifactError(
            f"the image processor in {folder} makes images of {list(pixels.shape[2:])} pixels, "
            f"expected {list(expected)}, which the model takes",
            hint="copy preprocessor_config.json from the checkpoint that the model was trained from",
        )
    return processor


def first_line(error: Exception) -> str:
    """What a library says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
