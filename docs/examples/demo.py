"""The demo: texts in four languages, classified with the bundled model. Run it with `make demo`."""

from typing import NamedTuple

import spacy

from spacy_zeroshot.cli._print import make_console, print_bars


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
    console = make_console()
    nlp = spacy.blank("xx")
    pipe = nlp.add_pipe("zero_shot_textcat")
    console.print("The model was not trained on these labels. ● marks the best one.\n", soft_wrap=True)
    for sample in SAMPLES:
        pipe.set_labels(sample.labels)
        pipe.hypothesis_template = sample.template
        cats = nlp(sample.text).cats
        console.print(sample.language, style="cyan")
        print_bars(console, sample.text, cats, [max(cats, key=cats.get)])
    console.print('Your own: .venv/bin/python -m spacy zeroshot classify "A text." --labels "one,two"', soft_wrap=True)


if __name__ == "__main__":
    main()
