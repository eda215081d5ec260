"""How well a language model knows an answer, token by token, under teacher forcing."""

from collections.abc import Sequence

import torch
from torch import Tensor

from speu_cli.tasks.encoded import IGNORED

# Share of an answer's tokens, the least likely ones, that Min-K and Min-K++ look at.
MIN_K = 0.4
# Below this variance of log p the vocabulary's distribution is taken for one of this variance.
LEAST_VARIANCE = 1e-6
# So many logits are looked at at a time, 4 MiB in float32: they stay in a cache.
AT_ONCE = 1 << 20
# A log p below this is of a probability of 0: 0 · log 0 is 0, which the log p of −∞ would not give.
IMPOSSIBLE = -1e4


def token_figures(logits: Tensor, labels: Tensor) -> Tensor:
    """What is known of each labelled token, one after the other, without a second copy of all logits.

    Args:
        logits: ``[n, tokens, vocabulary]``.
        labels: ``[n, tokens]``.

    Returns:
        ``[3, m]`` in float32 at least: log p of the token; by how many standard deviations that lies above
        the mean of log p, both under the model's own distribution over the vocabulary; 1 where the token is
        the likeliest, else 0.
    """
    following = labels[:, 1:]
    rows, columns = following.ne(IGNORED).nonzero(as_tuple=True)
    tokens = following[rows, columns]
    wide = torch.promote_types(logits.dtype, torch.float32)
    step = max(1, AT_ONCE // logits.shape[-1])
    parts = [
        _figures(logits[rows[start : start + step], columns[start : start + step]].to(wide), some)
        for start, some in zip(range(0, len(tokens), step), tokens.split(step), strict=True)
    ]
    return torch.cat(parts, 1)


def _figures(logits: Tensor, tokens: Tensor) -> Tensor:
    """The figures of a few tokens, from logits ``[few, vocabulary]``: ``[3, few]``."""
    every = logits.log_softmax(-1)
    found = every.gather(1, tokens[:, None])[:, 0]
    probabilities = every.exp()
    every.clamp_(min=IMPOSSIBLE)
    mean = torch.linalg.vecdot(probabilities, every)
    variance = torch.linalg.vecdot(probabilities, every.sub_(mean[:, None]).square_())
    standardised = (found - mean) / variance.clamp(min=LEAST_VARIANCE).sqrt()
    return torch.stack([found, standardised, logits.argmax(-1).eq(tokens).to(found.dtype)])


def memorisation(figures: Tensor, sizes: Sequence[int], ended: Sequence[bool]) -> dict[str, Tensor]:
    """What the attacks on language models and the measures of memory are made of.

    The end-of-text token says nothing about an answer, and is left out but where it is all there is.

    Args:
        figures: From :func:`token_figures`.
        sizes: Labelled tokens of each example.
        ended: Whether the last of them is the end-of-text token, of each example.

    Returns:
        By name, each ``[n]``: ``min_k`` and ``min_k_plus_plus``, the means of the least log p and of the
        least standardised log p, of a share of the tokens, at least one; ``exact_memorisation``, the share of
        tokens that are the likeliest; ``extraction_strength``, the share that stands after the last token
        that is not.
    """
    of_examples = figures.cpu().split(list(sizes), 1)
    rows = [_of_example(own, end) for own, end in zip(of_examples, ended, strict=True)]
    names = ("min_k", "min_k_plus_plus", "exact_memorisation", "extraction_strength")
    return dict(zip(names, torch.stack(rows, 1), strict=True))


def _of_example(figures: Tensor, ended: bool) -> Tensor:
    size = figures.shape[1] - int(ended and figures.shape[1] > 1)
    found, standardised, hits = figures[:, :size]
    few = max(1, int(MIN_K * size))
    wrong = hits.eq(0).nonzero()[:, 0].tolist()
    after = size - 1 - wrong[-1] if wrong else size
    return torch.stack(
        [
            found.sort().values[:few].mean(),
            standardised.sort().values[:few].mean(),
            hits.mean(),
            hits.new_tensor(after / size),
        ]
    )
