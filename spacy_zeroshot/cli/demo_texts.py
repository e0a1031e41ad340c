"""The texts of the demo."""

from typing import NamedTuple, Tuple


class Sample(NamedTuple):
    """A text of the demo.

    kind (str): What sort of text it is, and in which mode it is scored.
    text (str): The text.
    labels (Tuple[str, ...]): Its labels.
    template (str): How they are worded.
    multi_label (bool): Whether each label stands on its own.
    """

    kind: str
    text: str
    labels: Tuple[str, ...]
    template: str = "This text is about {}."
    multi_label: bool = False


SAMPLES = (
    Sample(
        "News, one label",
        "The striker scored twice in the second half, and the home side won the cup for the first time since 1987.",
        ("politics", "sport", "business", "science"),
    ),
    Sample(
        "A support ticket, one label",
        "I was charged twice for my subscription this month. Please send the second payment back to my card.",
        ("billing", "login problem", "bug report", "feature request"),
    ),
    Sample(
        "A film review, one label",
        "A dull, overlong mess: the jokes fall flat and the ending makes no sense.",
        ("positive", "negative"),
        template="The review is {}.",
    ),
    Sample(
        "Popular science, each label on its own",
        "A group of astronomers gathered at the observatory to witness the rare celestial event. As they peered "
        "through the telescopes, they observed the alignment of several planets, creating a breathtaking view "
        "against the night sky.",
        ("astronomy", "cooking", "science", "space", "music"),
        multi_label=True,
    ),
)

BULLETIN = """\
The town bulletin of this week opens with the council. On Monday evening the council met in the old hall to debate \
the budget for the coming year. The mayor defended her plan to raise the property tax by two percent, and said that \
without the money the town could not keep its promises to voters. The opposition called the plan reckless, and three \
of its members walked out before the vote. After four hours the budget passed by a single vote. The leader of the \
opposition announced that his party would campaign against the tax in the election next spring, and asked the \
governor to look into the way the meeting was run. A petition against the tax has been signed by nine hundred \
citizens. The mayor replied that every citizen is free to sign a petition, and that the council would read it with \
care. She added that the ministry had already approved the plan, and that a new election law would in any case \
change the number of seats in the council. The committee for public order will meet again on Thursday to decide \
whether the sessions should be broadcast. Two members of the committee have said that they will resign if they are.

Our colleague from the sports desk spent the weekend at the stadium. The town's football club played its last match \
of the season against the neighbours from across the river, and eight thousand people came to watch. The visitors \
took the lead after ten minutes, when a long ball surprised the defence. Just before the break the captain equalised \
with a header from a corner. In the second half the home team pressed, hit the post twice, and had a goal ruled out \
for offside. Then, in the last minute of added time, the referee pointed to the spot. The young striker, who had \
joined the club only in winter, took the penalty and sent the goalkeeper the wrong way. The players ran to the \
stands, and the coach was thrown into the air. With this victory the club finishes third in the league and will play \
in the cup next year. The coach praised his defenders, who have not lost a match at home since October. The women's \
team, too, has a good season behind it: it won eleven of its fourteen games, and its goalkeeper was named the best \
player of the tournament. Training for both teams begins again in the middle of July, and the club is looking for \
referees and for coaches for its youth teams. Runners should note that the half marathon starts at nine.

From the hospital comes good news. The new ward for heart patients opened on Wednesday, with forty beds and two \
operating rooms. The chief physician explained that patients who suffer a heart attack can now be treated within an \
hour, where before they had to be taken by ambulance to the city. Nurses and doctors trained for six months with the \
new equipment. The hospital also reminds its readers that the flu season is near. A vaccine is recommended for \
everybody over sixty, for pregnant women, and for people with asthma or diabetes. Those who have a fever or a cough \
should stay at home, drink plenty of water, and call their doctor if the symptoms last longer than three days. A \
study by the university, in which two hundred patients of the hospital took part, found that a short walk every day \
lowers the blood pressure as much as some medicines do. The physicians warn, however, that nobody should stop taking \
a medicine without asking first. Blood donors are welcome every Tuesday.

The railway has news for travellers. From the first of May there will be two more trains a day to the coast, and \
the night train to the south will stop in our town again, for the first time in twelve years. Tickets for a journey \
booked a month ahead cost half, and children under fourteen travel free with their parents. The tourist office on \
the market square has printed a new guide with walks along the river, small hotels, and a map of the old city. It \
recommends the ferry to the islands, where visitors can rent bicycles and sleep at the lighthouse. Those who fly \
should know that the bus to the airport now leaves from the station, every half hour from five in the morning, and \
that the road over the pass stays closed until the snow is gone. The camp site by the lake opens at Easter, with \
room for sixty tents. Last summer eleven thousand guests spent a night here, more than ever before, most of them \
from abroad, and many said that they would come back for a longer holiday. The office looks for students who speak \
two languages and want to show tourists around at weekends. Passports can be renewed at the town hall in the \
mornings, and the office warns that it now takes six weeks, so whoever wants to travel in August should apply soon.

The kitchen column closes this issue. Our reader from the mill sent us the recipe for her onion soup. Peel and slice \
six large onions, and let them brown slowly in butter for half an hour. Add a spoonful of flour, stir, and pour in a \
glass of white wine and a litre of beef broth. Season with salt, pepper, thyme and a bay leaf, and let the soup \
simmer for another half hour. Toast slices of bread, lay them on the soup, cover them with grated cheese, and put \
the bowls into a hot oven until the cheese is golden. She serves it with a green salad. Next week we will bake the \
apple cake that won the first prize at the village fair, with cinnamon, walnuts and a little rum. Please send us \
your favourite recipes for pumpkin, which is cheap at the market now."""

LONG_LABELS = ("politics", "football", "medicine", "travel", "cooking", "astronomy")
