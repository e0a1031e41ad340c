"""What is measured: our component, and the zero-shot pipeline of transformers, on checkpoints of one size."""

from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from ..errors import COMPONENT, ZeroShotError

CLASSES = ("contradiction", "neutral", "entailment")
DECLARATION = "zero_shot"
SEED = 0
# Ours by default; that pipeline has another one
TEMPLATE = "This text is about {}."
# Scores of one checkpoint in float32
LIMIT = 1e-4

Scores = List[Dict[str, float]]


class Subject(NamedTuple):
    """A classifier.

    name (str): What a table calls it.
    score (Callable[[Sequence[str], Sequence[str]], Scores]): Scores texts by labels: one dict for each text.
    nlp (Any): The spaCy pipeline of our component; None for another program.
    precision (str): What it computes in: "float32", "bfloat16", "float16" or "int8".
    warm (bool): Whether it compiles kernels for new sizes, and so runs once before it is timed.
    """

    name: str
    score: Callable[[Sequence[str], Sequence[str]], Scores]
    nlp: Any = None
    precision: str = "float32"
    warm: bool = True

    @property
    def pipe(self) -> Any:
        """RETURNS (ZeroShotTextCategorizer): Our component."""
        return self.nlp.get_pipe(COMPONENT)

    @property
    def runtime(self) -> Any:
        """RETURNS (Runtime): Our loaded checkpoint."""
        return self.pipe.model.shims[0].runtime

    def lengths(self, texts: Sequence[str]) -> List[int]:
        """RETURNS (List[int]): Lengths in our wordpieces. texts (Sequence[str]): The texts."""
        return [len(pieces.ids) for pieces in self.runtime.tokens.split(list(texts))]


def our_subject(
    name: str,
    checkpoint: str,
    *,
    device: str = "cpu",
    precision: str = "auto",
    backend: str = "torch",
    template: Optional[str] = None,
) -> Subject:
    """Our component in a pipeline of its own.

    name (str): What a table calls it.
    checkpoint (str): "bundled" or a folder.
    device (str): A torch device string.
    precision (str): The setting.
    backend (str): The setting.
    template (Optional[str]): Another template than the default one.
    RETURNS (Subject): The subject, loaded; texts are given as one batch.
    """
    import spacy

    model = {"name": checkpoint, "device": device, "precision": precision, "backend": backend}
    settings: Dict[str, Any] = {"labels": ["warm"], "model": model}
    if template is not None:
        settings["hypothesis_template"] = template
    nlp = spacy.blank("en")
    pipe: Any = nlp.add_pipe(COMPONENT, config=settings)

    def score(texts: Sequence[str], labels: Sequence[str]) -> Scores:
        pipe.set_labels(list(labels))
        return [doc.cats for doc in nlp.pipe(texts)]

    score(["A first text loads the model."], ["warm"])
    runtime = pipe.model.shims[0].runtime
    return Subject(name, score, nlp, runtime.kernel or str(runtime.dtype).removeprefix("torch."))


def one_by_one(subject: Subject) -> Subject:
    """The same component, given texts one by one.

    subject (Subject): Ours.
    RETURNS (Subject): Shares the loaded model.
    """

    def score(texts: Sequence[str], labels: Sequence[str]) -> Scores:
        subject.pipe.set_labels(list(labels))
        return [subject.nlp(text).cats for text in texts]

    return Subject(f"{subject.name}, one by one", score, subject.nlp, subject.precision)


class Pipelines:
    """The zero-shot pipeline of transformers on a pair checkpoint.

    folder (Path): The checkpoint.
    device (str): A torch device string.
    dtype (str): "float32", its default, or "bfloat16".
    """

    def __init__(self, folder: Path, device: str = "cpu", dtype: str = "float32"):
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

        self.dtype = dtype
        module = AutoModelForSequenceClassification.from_pretrained(folder).to(getattr(torch, dtype))
        tokenizer = AutoTokenizer.from_pretrained(folder)
        self._pipeline = pipeline("zero-shot-classification", model=module, tokenizer=tokenizer, device=device)
        self._pipeline(["A first text."], ["warm"])

    def subject(self, batch_size: int) -> Subject:
        """RETURNS (Subject): The pipeline at a batch size. batch_size (int): Pairs; 1 is its default."""

        def score(texts: Sequence[str], labels: Sequence[str]) -> Scores:
            results = self._pipeline(list(texts), list(labels), batch_size=batch_size, hypothesis_template=TEMPLATE)
            return [dict(zip(result["labels"], result["scores"])) for result in results]

        kind = "" if self.dtype == "float32" else f" {self.dtype}"
        return Subject(
            f"transformers{kind}, batch {batch_size}", score, precision=self.dtype, warm=self.dtype != "float32"
        )


def pipeline_name(dtype: str, batch_size: int) -> str:
    """RETURNS (str): What a table calls the transformers pipeline. dtype (str), batch_size (int): As it runs."""
    kind = "" if dtype == "float32" else f" {dtype}"
    return f"transformers{kind}, batch {batch_size}"


def write_pair_checkpoint(checkpoint: str, folder: Path) -> Path:
    """Write a stock pair checkpoint of the bundled model's size: its encoder with a fresh head of three classes.

    checkpoint (str): The folder of the bundled model.
    folder (Path): Where to write.
    RETURNS (Path): The folder.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    config = AutoConfig.from_pretrained(checkpoint)
    if hasattr(config, DECLARATION):
        delattr(config, DECLARATION)
    config.id2label = dict(enumerate(CLASSES))
    config.label2id = {label: i for i, label in enumerate(CLASSES)}
    module = AutoModelForSequenceClassification.from_pretrained(
        checkpoint, config=config, ignore_mismatched_sizes=True
    ).float()
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        # large enough that scores differ between labels: equal scores could hide an error
        module.classifier.weight.copy_(torch.randn(module.classifier.weight.shape, generator=generator))
        module.classifier.bias.zero_()
    module.save_pretrained(folder)
    AutoTokenizer.from_pretrained(checkpoint).save_pretrained(folder)
    return folder


def largest_difference(first: Scores, second: Scores) -> float:
    """RETURNS (float): The largest difference of a score. first, second (Scores): Of the same texts and labels."""
    return max(abs(one[label] - other[label]) for one, other in zip(first, second) for label in one)


def check_equal(name: str, first: Scores, other: str, second: Scores) -> float:
    """Check that two programs do the same thing before their speed is compared.

    name, other (str): What tables call them.
    first, second (Scores): Their scores.
    RETURNS (float): The largest difference.
    RAISES (ZeroShotError): Z037 if it is above 1e-4.
    """
    difference = largest_difference(first, second)
    if not difference <= LIMIT:
        raise ZeroShotError("Z037", "benchmark", first=name, second=other, difference=difference, limit=LIMIT)
    return difference
