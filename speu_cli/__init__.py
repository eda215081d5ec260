"""Make a fine-tuned transformer forget chosen training examples.

The stages are functions: ``fisher`` (and ``plan``, its dry run), ``merge``, ``mask``, ``unlearn``,
``train_unlearn``, ``retrain``, ``evaluate``, ``compare``, ``train`` and ``inspect``; of successive requests
``start_requests``, ``serve_request``, ``list_requests``, ``show_request``, ``verify_requests``,
``report_requests`` and ``compact_requests``.
Each name is imported when it is first used, so that ``import speu_cli`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from speu_cli.version import __version__

if TYPE_CHECKING:
    from speu_cli.data.columns import DataChoice
    from speu_cli.data.examples import Examples
    from speu_cli.errors import (
        ArtifactError,
        InputError,
        LockedError,
        OutputExistsError,
        ResourceError,
        SpeuError,
        UnsafeStepError,
    )
    from speu_cli.evaluation.attacks import Curve, Point
    from speu_cli.evaluation.definitions.definition import Definition, Unit
    from speu_cli.evaluation.forgetting import Forgetting
    from speu_cli.evaluation.gates import GateResult
    from speu_cli.evaluation.metric import Metric
    from speu_cli.evaluation.runs.lineup import ComparedModel
    from speu_cli.masks.localization import MaskSettings
    from speu_cli.progress import Progress, Silent
    from speu_cli.stages.attack_choice import AttackChoice
    from speu_cli.stages.attacks import AttackResult, Paraphrased, Relearned
    from speu_cli.stages.collection import CollectionChoice
    from speu_cli.stages.compare import CompareResult, compare
    from speu_cli.stages.evaluate import EvaluateResult, Evidence, evaluate
    from speu_cli.stages.evaluation_identity import Encoding, Identity
    from speu_cli.stages.fisher import FisherResult, Keeping, fisher
    from speu_cli.stages.inspect import InspectResult, inspect
    from speu_cli.stages.mask import MaskResult, mask
    from speu_cli.stages.merge import MergeResult, merge
    from speu_cli.stages.plan import FisherPlan, plan
    from speu_cli.stages.requests.account import Account
    from speu_cli.stages.requests.compact import CompactResult, compact_requests
    from speu_cli.stages.requests.listing import Listed, ListResult, list_requests, show_request
    from speu_cli.stages.requests.report import ReportResult, report_requests
    from speu_cli.stages.requests.serve import serve_request
    from speu_cli.stages.requests.served import ServedResult
    from speu_cli.stages.requests.start import StartResult, StepChoice, WatchChoice, start_requests
    from speu_cli.stages.requests.verify import VerifyResult, verify_requests
    from speu_cli.stages.retrain import retrain
    from speu_cli.stages.runtime import Runtime
    from speu_cli.stages.train import TrainResult, train
    from speu_cli.stages.train_unlearn import TrainUnlearnResult, train_unlearn
    from speu_cli.stages.unlearn import UnlearnResult, unlearn
    from speu_cli.statistics.calibration import Calibration
    from speu_cli.statistics.cost import Memory
    from speu_cli.tasks.outcomes import Outcomes
    from speu_cli.unlearning.objectives.registry import ObjectiveChoice
    from speu_cli.unlearning.requests.capacity import Capacity, Drift, Level
    from speu_cli.unlearning.training_choice import TrainingChoice

__all__ = [
    "Account",
    "ArtifactError",
    "AttackChoice",
    "AttackResult",
    "Calibration",
    "Capacity",
    "CollectionChoice",
    "CompactResult",
    "CompareResult",
    "ComparedModel",
    "Curve",
    "DataChoice",
    "Definition",
    "Drift",
    "Encoding",
    "EvaluateResult",
    "Evidence",
    "Examples",
    "FisherPlan",
    "FisherResult",
    "Forgetting",
    "GateResult",
    "Identity",
    "InputError",
    "InspectResult",
    "Keeping",
    "Level",
    "ListResult",
    "Listed",
    "LockedError",
    "MaskResult",
    "MaskSettings",
    "Memory",
    "MergeResult",
    "Metric",
    "ObjectiveChoice",
    "Outcomes",
    "OutputExistsError",
    "Paraphrased",
    "Point",
    "Progress",
    "Relearned",
    "ReportResult",
    "ResourceError",
    "Runtime",
    "ServedResult",
    "Silent",
    "SpeuError",
    "StartResult",
    "StepChoice",
    "TrainResult",
    "TrainUnlearnResult",
    "TrainingChoice",
    "Unit",
    "UnlearnResult",
    "UnsafeStepError",
    "VerifyResult",
    "WatchChoice",
    "__version__",
    "compact_requests",
    "compare",
    "evaluate",
    "fisher",
    "inspect",
    "list_requests",
    "mask",
    "merge",
    "plan",
    "report_requests",
    "retrain",
    "serve_request",
    "show_request",
    "start_requests",
    "train",
    "train_unlearn",
    "unlearn",
    "verify_requests",
]

_NAMES_OF_MODULES = {
    "speu_cli.data.columns": ["DataChoice"],
    "speu_cli.data.examples": ["Examples"],
    "speu_cli.errors": [
        "ArtifactError",
        "InputError",
        "LockedError",
        "OutputExistsError",
        "ResourceError",
        "SpeuError",
        "UnsafeStepError",
    ],
    "speu_cli.evaluation.attacks": ["Curve", "Point"],
    "speu_cli.evaluation.definitions.definition": ["Definition", "Unit"],
    "speu_cli.evaluation.forgetting": ["Forgetting"],
    "speu_cli.evaluation.gates": ["GateResult"],
    "speu_cli.evaluation.metric": ["Metric"],
    "speu_cli.evaluation.runs.lineup": ["ComparedModel"],
    "speu_cli.masks.localization": ["MaskSettings"],
    "speu_cli.progress": ["Progress", "Silent"],
    "speu_cli.stages.attack_choice": ["AttackChoice"],
    "speu_cli.stages.attacks": ["AttackResult", "Paraphrased", "Relearned"],
    "speu_cli.stages.collection": ["CollectionChoice"],
    "speu_cli.stages.compare": ["CompareResult", "compare"],
    "speu_cli.stages.evaluate": ["EvaluateResult", "Evidence", "evaluate"],
    "speu_cli.stages.evaluation_identity": ["Encoding", "Identity"],
    "speu_cli.stages.fisher": ["FisherResult", "Keeping", "fisher"],
    "speu_cli.stages.inspect": ["InspectResult", "inspect"],
    "speu_cli.stages.mask": ["MaskResult", "mask"],
    "speu_cli.stages.merge": ["MergeResult", "merge"],
    "speu_cli.stages.plan": ["FisherPlan", "plan"],
    "speu_cli.stages.requests.account": ["Account"],
    "speu_cli.stages.requests.compact": ["CompactResult", "compact_requests"],
    "speu_cli.stages.requests.listing": ["ListResult", "Listed", "list_requests", "show_request"],
    "speu_cli.stages.requests.report": ["ReportResult", "report_requests"],
    "speu_cli.stages.requests.serve": ["serve_request"],
    "speu_cli.stages.requests.served": ["ServedResult"],
    "speu_cli.stages.requests.start": ["StartResult", "StepChoice", "WatchChoice", "start_requests"],
    "speu_cli.stages.requests.verify": ["VerifyResult", "verify_requests"],
    "speu_cli.stages.retrain": ["retrain"],
    "speu_cli.stages.runtime": ["Runtime"],
    "speu_cli.stages.train": ["TrainResult", "train"],
    "speu_cli.stages.train_unlearn": ["TrainUnlearnResult", "train_unlearn"],
    "speu_cli.stages.unlearn": ["UnlearnResult", "unlearn"],
    "speu_cli.statistics.calibration": ["Calibration"],
    "speu_cli.statistics.cost": ["Memory"],
    "speu_cli.tasks.outcomes": ["Outcomes"],
    "speu_cli.unlearning.objectives.registry": ["ObjectiveChoice"],
    "speu_cli.unlearning.requests.capacity": ["Capacity", "Drift", "Level"],
    "speu_cli.unlearning.training_choice": ["TrainingChoice"],
}
_MODULE_OF_NAME = {name: module for module, names in _NAMES_OF_MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used.

    Args:
        name: What was asked for.

    Returns:
        The function or class of this name.

    Raises:
        AttributeError: There is none.
    """
    module = _MODULE_OF_NAME.get(name)
    if module is None:
        raise AttributeError(f"module 'speu_cli' has no attribute {name!r}")
    value: object = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
