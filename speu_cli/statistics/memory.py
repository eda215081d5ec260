"""Memory that ran out."""

import torch


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of the machine or of its accelerator."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def give_back(device: torch.device) -> None:
    """Let a device have what nobody holds any more."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
