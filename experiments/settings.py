"""How large the experiments are: ``small`` for two cores, ``paper`` for a GPU, ``smoke`` for a test.

``quality`` is for two cores too, with more rows: it is that of the target of this name.

Everything that differs between them stands here, and nowhere else. A data set, its task and its score are the
same in each.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

CASE_STUDY = "mnli"
QA = ("--task", "question-answering")


@dataclass(frozen=True)
class Hub:
    """Where a data set is on the hub.

    Attributes:
        name: Of the data set.
        config: Its configuration, if it has several.
        test: Split that stands for the test set.
        columns: The hub's name of each column but the id.
    """

    name: str
    config: str | None
    test: str
    columns: Mapping[str, str]


@dataclass(frozen=True)
class DataSet:
    """A data set of the paper.

    Attributes:
        name: Of its folder.
        title: As the paper writes it.
        score: As ``speu eval`` names it after ``unlearning_``.
        short: The score in a column's title.
        hub: Where all of it is.
        task: Options that name the task, where the labels do not.
    """

    name: str
    title: str
    score: str
    short: str
    hub: Hub
    task: tuple[str, ...] = ()


def _glue(config: str, test: str, text: str, pair: str | None = None) -> Hub:
    columns = {"text": text, "label": "label"} | ({"text_pair": pair} if pair else {})
    return Hub("nyu-mll/glue", config, test, columns)


def _squad(name: str) -> Hub:
    columns = {"question": "question", "context": "context", "answers": "answers"}
    return Hub(f"rajpurkar/{name}", None, "validation", columns)


SETS = {
    one.name: one
    for one in (
        DataSet(
            "mnli", "MNLI", "accuracy", "A", _glue("mnli", "validation_matched", "premise", "hypothesis")
        ),
        DataSet("qqp", "QQP", "accuracy", "A", _glue("qqp", "validation", "question1", "question2")),
        DataSet("sst2", "SST-2", "accuracy", "A", _glue("sst2", "validation", "sentence")),
        DataSet(
            "stsb",
            "STS-B",
            "spearman",
            "S",
            _glue("stsb", "validation", "sentence1", "sentence2"),
            ("--task", "regression"),
        ),
        DataSet("squad1", "SQuAD v1.1", "f1", "F1", _squad("squad"), QA),
        DataSet("squad2", "SQuAD v2.0", "f1", "F1", _squad("squad_v2"), QA),
    )
}


@dataclass(frozen=True)
class Size:
    """How much of a data set is used.

    Attributes:
        training: Training rows; None: all that are not held out.
        test: Test rows; None: all.
        remaining: Rows of D_r that are measured.
        max_length: Longest input, in tokens.
        longest: Only rows whose context has at most so many characters.
        fewest_words: Only training rows whose text has at least so many.
    """

    training: int | None
    test: int | None
    remaining: int
    max_length: int
    longest: int | None = None
    fewest_words: int = 0


@dataclass(frozen=True)
class Model:
    """A pretrained encoder.

    Attributes:
        name: As the tables have it.
        hub: Its name on the hub; None: the folder of ``--encoder``.
        learning_rate: Of every training; the paper took each from 1e-5, 2e-5, 3e-5 and 5e-5.
        shown: Model of the paper whose figures stand beside.
    """

    name: str
    hub: str | None
    learning_rate: str
    shown: str


@dataclass(frozen=True)
class Setting:
    """One scale of all experiments.

    Attributes:
        name: Its own.
        models: Encoders of Tables 2 to 8; the first is that of everything with one model.
        kinds_model: The encoder of Figure 3.
        sizes: How much of each set.
        case_study: Set of Tables 1 and 3 and of Figures 2 to 4.
        device: Where it runs.
        draws: How many forget draws.
        forget: n_f of each.
        heldout: Rows of the training source that are never trained on: their loss is the target.
        epochs: Of the first training and of retraining.
        epochs_of: Of these sets others.
        epochs_again: Of FT, GD and SA.
        sparsities: Of Figures 2 and 5; 0 is SO.
        kinds_sparsities: Of Figure 3.
        requests: How many, one after the other, in Table 1 and Figure 4.
        request_size: Rows of each.
        measured: After which of them the models are measured.
        further: Sizes of further draws of a set, of rows that are in no other draw; only of ``quality``.
    """

    name: str
    models: tuple[Model, ...]
    kinds_model: Model
    sizes: Mapping[str, Size]
    case_study: str
    device: str = "cpu"
    draws: int = 3
    forget: int = 64
    heldout: int = 500
    epochs: str = "5"
    epochs_again: str = "3"
    sparsities: tuple[float, ...] = (0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
    kinds_sparsities: tuple[float, ...] = (0.3, 0.5, 0.7, 0.9, 0.95)
    requests: int = 10
    request_size: int = 16
    measured: tuple[int, ...] = (1, 4, 8, 10)
    epochs_of: Mapping[str, str] = field(default_factory=dict)
    further: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def epochs_for(self, name: str) -> str:
        """Epochs of the first training and of retraining on a set."""
        return self.epochs_of.get(name, self.epochs)

    def stand_in(self) -> list[str]:
        """What a table of the case study has to say where it is not the paper's."""
        if self.case_study == CASE_STUDY:
            return []
        return [f"The paper's is of MNLI: {SETS[self.case_study].title} stands in, on a smaller model."]


MINILM = Model("MiniLM", None, "5e-5", "BERT-base")
BERT = Model("BERT-base", "google-bert/bert-base-uncased", "3e-5", "BERT-base")
DISTILBERT = Model("DistilBERT", "distilbert/distilbert-base-uncased", "3e-5", "DistilBERT")
ROBERTA = Model("RoBERTa-large", "FacebookAI/roberta-large", "1e-5", "RoBERTa-large")

SETTINGS = {
    "small": Setting(
        name="small",
        models=(MINILM,),
        kinds_model=MINILM,
        sizes={
            "mnli": Size(2_000, 1_000, 400, 128),
            "qqp": Size(1_200, 1_000, 400, 64),
            "sst2": Size(2_000, 872, 400, 128, fewest_words=4),
            "stsb": Size(1_200, 1_000, 400, 64),
            "squad1": Size(500, 300, 300, 192, longest=300),
            "squad2": Size(500, 300, 300, 192, longest=300),
        },
        case_study="sst2",
        heldout=400,
        sparsities=(0, 0.5, 0.8, 0.9, 0.95, 0.99),
    ),
    "paper": Setting(
        name="paper",
        models=(BERT, DISTILBERT, ROBERTA),
        kinds_model=ROBERTA,
        sizes={
            **{name: Size(None, None, 10_000, 128) for name in ("mnli", "qqp", "sst2", "stsb")},
            **{name: Size(None, None, 10_000, 384) for name in ("squad1", "squad2")},
        },
        case_study=CASE_STUDY,
        device="cuda",
        forget=128,
        request_size=128,
    ),
    "quality": Setting(
        name="quality",
        models=(MINILM,),
        kinds_model=MINILM,
        sizes={
            "qqp": Size(2_500, 1_000, 400, 64),
            "sst2": Size(4_000, 872, 400, 128, fewest_words=4),
            "stsb": Size(3_000, 1_000, 400, 64),
            "squad1": Size(700, 300, 300, 192, longest=300),
            "squad2": Size(700, 300, 300, 192, longest=300),
        },
        case_study="sst2",
        forget=128,
        heldout=1_000,
        requests=1,
        epochs_of={"stsb": "8", "squad1": "10", "squad2": "10"},
        further={"sst2": (16, 1_024)},
    ),
    "smoke": Setting(
        name="smoke",
        models=(MINILM,),
        kinds_model=MINILM,
        sizes={
            **{name: Size(96, 32, 32, 64) for name in ("mnli", "qqp", "sst2", "stsb")},
            **{name: Size(48, 16, 16, 128, longest=300) for name in ("squad1", "squad2")},
        },
        case_study="sst2",
        draws=2,
        forget=8,
        heldout=32,
        epochs="1",
        epochs_again="1",
        sparsities=(0, 0.9),
        kinds_sparsities=(0.9,),
        requests=2,
        request_size=4,
        measured=(1, 2),
        further={"sst2": (4,)},
    ),
}
