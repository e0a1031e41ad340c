"""The demo: texts in four languages, classified with the bundled model. Run it with `make demo`."""

from typing import NamedTuple

import spacy
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 26


class Sample(NamedTuple):
    language: str
    text: str
    labels: list[str]
    template: str = "This text is about {}."


SAMPLES = [
    Sample(
        "English",
        "I was charged twice for my subscription this month. Please send the second payment back to my card.",
        ["billing", "login problem", "bug report", "feature request"],
    ),
    Sample(
        "Korean",
        "대표팀이 연장 후반에 터진 결승골로 20년 만에 우승컵을 들어 올렸다.",
        ["정치", "스포츠", "경제", "과학"],
        "이 글은 {}에 관한 것이다.",
    ),
    Sample(
        "Japanese",
        "新しい望遠鏡が、遠い惑星の大気に水蒸気があることを確かめた。",
        ["政治", "スポーツ", "料理", "宇宙"],
        "この文章は{}についてのものです。",
    ),
    Sample(
        "Arabic, English labels",
        "رفع البنك المركزي أسعار الفائدة للمرة الثالثة هذا العام لكبح التضخم.",
        ["politics", "sport", "economy", "health"],
    ),
]


def main() -> None:
    console = Console(highlight=False)
    nlp = spacy.blank("xx")
    pipe = nlp.add_pipe("zero_shot_textcat")
    console.print("The bundled model has not been trained on these labels.\n")
    for sample in SAMPLES:
        pipe.set_labels(sample.labels)
        pipe.templates = sample.template
        cats = nlp(sample.text).cats
        console.print(Text(sample.language, style="cyan"))
        console.print(Text(sample.text), soft_wrap=True)
        bars = Table.grid(padding=(0, 2))
        best = max(cats, key=cats.get)
        for label, score in sorted(cats.items(), key=lambda pair: -pair[1]):
            style = "bold green" if label == best else ""
            bars.add_row("✓" if label == best else " ", Text(label, style), "█" * round(WIDTH * score), f"{score:.2f}")
        console.print(bars)
        console.print()
    console.print('Your own:  .venv/bin/python -m spacy zeroshot classify "A text." --labels "one,two,three"')


if __name__ == "__main__":
    main()
