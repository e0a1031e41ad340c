"""What a run of the benchmark found."""

from typing import List, NamedTuple, Optional, Sequence

from .clock import Spread


class Machine(NamedTuple):
    """Where it was measured.

    processor (str): The processor's name.
    cores (int): Threads that torch uses.
    device (str): Where the models ran.
    versions (str): Versions of the packages that matter.
    precision (str): What precision "auto" means here.
    """

    processor: str
    cores: int
    device: str
    versions: str
    precision: str


class Speed(NamedTuple):
    """How fast a program scored some texts.

    subject (str): The program.
    labels (int): How many labels.
    wordpieces (int): Mean length of the texts.
    texts (int): How many texts.
    rounds (List[float]): Seconds for one text, round by round.
    peak (float): Peak memory in megabytes: of the process, with all programs loaded; or of the GPU.
    utilisation (Optional[float]): Useful operations per second over those of a matrix product in the same rounds;
        None for other programs, and for 8 bits.
    """

    subject: str
    labels: int
    wordpieces: int
    texts: int
    rounds: List[float]
    peak: float
    utilisation: Optional[float]


class Equality(NamedTuple):
    """Scores of one checkpoint in float32 by two programs.

    first, second (str): The programs.
    difference (float): The largest difference of a score.
    """

    first: str
    second: str
    difference: float


class Share(NamedTuple):
    """Where the time goes, in batches of 90-token texts with 10 labels.

    subject (str): The program.
    utilisation (Spread): Useful operations per second over a matrix product's in the same round.
    product (float): The matrix product's operations per second, in billions.
    outside (Spread): Share of the time spent outside the encoder.
    """

    subject: str
    utilisation: Spread
    product: float
    outside: Spread


class LabelCost(NamedTuple):
    """What more labels cost with a template, on 90-token texts.

    template (str): The template.
    ten, hundred (float): Seconds for one text with 10 and with 100 labels.
    growth (Spread): The second over the first, round by round.
    accuracy (Optional[float]): Share of labelled texts whose best label is right; None without data.
    """

    template: str
    ten: float
    hundred: float
    growth: Spread
    accuracy: Optional[float]


class Kernel(NamedTuple):
    """A way to run a checkpoint.

    checkpoint (str): Which one.
    backend, precision (str): The settings.
    seconds (Spread): For one text.
    difference (float): The largest difference of a score from torch in float32.
    agreement (float): Share of texts with the same best label as torch in float32.
    accuracy (Optional[float]): Share of labelled texts whose best label is right; None without data.
    """

    checkpoint: str
    backend: str
    precision: str
    seconds: Spread
    difference: float
    agreement: float
    accuracy: Optional[float]


class Start(NamedTuple):
    """Cold start, in processes of their own.

    first_score (Spread): Seconds from python to the first score.
    imports (Spread): Seconds of importing torch and transformers' AutoModel and AutoTokenizer.
    ratio (Spread): The first over the second, round by round.
    """

    first_score: Spread
    imports: Spread
    ratio: Spread


class Report(NamedTuple):
    """Everything that was measured; empty where a part was left out.

    machine (Machine): Where.
    speeds (Sequence[Speed]): Part "ratios".
    equalities (Sequence[Equality]): Of the programs in it.
    shares (Sequence[Share]): Part "share".
    labels (Sequence[LabelCost]): Part "labels".
    kernels (Sequence[Kernel]): Part "kernels".
    start (Optional[Start]): Part "start".
    memory (Optional[float]): Part "memory": growth of resident memory, as a share.
    documents (int): Over how many documents.
    """

    machine: Machine
    speeds: Sequence[Speed] = ()
    equalities: Sequence[Equality] = ()
    shares: Sequence[Share] = ()
    labels: Sequence[LabelCost] = ()
    kernels: Sequence[Kernel] = ()
    start: Optional[Start] = None
    memory: Optional[float] = None
    documents: int = 0
