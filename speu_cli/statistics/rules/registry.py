"""Which rule belongs to which layer type."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from speu_cli.statistics.factors import Factor

# From a module, its input ``[rows, …]``, the gradient of its output ``[rows, out]`` and the examples' spans
# to the per-example gradients of its own parameters, by their names in the module.
Rule = Callable[[nn.Module, Tensor, Tensor, Tensor], Mapping[str, Factor]]

RULES: dict[str, Rule] = {}


def rule_of(*classes: type[nn.Module] | str) -> Callable[[Rule], Rule]:
    """Register a rule for layer types.

    Args:
        *classes: The types; one whose import would cost time is named ``module.Class``.

    Returns:
        The decorator.
    """

    def register(rule: Rule) -> Rule:
        for one in classes:
            RULES[one if isinstance(one, str) else _name(one)] = rule
        return rule

    return register


def find_rule(module: nn.Module) -> Rule | None:
    """The rule of a module's class or of the class that it takes its ``forward`` from.

    A subclass that computes something else in a ``forward`` of its own has no rule, unless it is registered.

    Args:
        module: Any module.

    Returns:
        The rule; None if there is none.
    """
    for one in type(module).__mro__:
        if _name(one) in RULES:
            return RULES[_name(one)]
        if "forward" in vars(one):
            return None
    return None


def _name(one: type) -> str:
    return f"{one.__module__}.{one.__qualname__}"
