"""What activations are measured on before they are stored in 8 bits: short and long English texts of many kinds.

Only the range of numbers inside the encoder matters, so a few dozen texts do, of any subject. They belong to the key
of a cached conversion through their token ids: changing one converts every model anew.
"""

TEXTS = (
    "Hello!",
    "Where is my parcel?",
    "Terrible. Never again.",
    "ok thx, see u at 8pm :)",
    "The film is a small miracle of patience and wit.",
    "I was charged twice for the same withdrawal, please refund me.",
    "Shares in Northbank fell 4.2% on Tuesday after the lender cut its forecast for the third time this year.",
    "Can I change the PIN of my card at any cash machine, or only at yours?",
    "Rovers beat United 3-1 away from home, with two goals from the nineteen-year-old Okafor in the last ten minutes.",
    "How far is it from Earth to the Moon?",
    "my son loved this puzzle but 2 pieces were missing and the box came open... contacted seller, no reply",
    "The committee approved the budget by nine votes to four, and sent the amendment on housing back to the council.",
    "Researchers in Oslo have grown a crystal that stores light for almost a minute, a step towards quantum memory.",
    "It never decides whether it wants to be a thriller or a comedy, and ends up being neither.",
    "URGENT: floods in the southern district have cut the road to the hospital; boats, drinking water, blankets and "
    "medical staff are needed at the school by tonight.",
    "Dear Sir or Madam, I am writing to ask about the vacancy for a nurse that was advertised on 14 March. Could you "
    "tell me whether the position is still open, and whether part-time work would be possible?",
    "Set the oven to 180 °C. Beat the eggs with the sugar until pale, fold in the flour, and bake for 25 minutes; let "
    "the cake cool before you cut it.",
    "The new phone has a brighter screen and charges in forty minutes, but the battery barely lasts a day, the camera "
    "struggles in the dark, and the price has gone up again. Wait for the next one.",
    "The defendant shall pay all costs within thirty days of this order. Should payment not be made, interest of five "
    "per cent a year shall be added from the date of judgment, without further notice to either party.",
    "I feel so alone since she moved away. We used to talk every evening, and now the house is silent; even the dog "
    "waits by the door.",
    "A magnitude 6.1 earthquake struck off the coast early on Friday, the national survey said. There were no reports "
    "of casualties, but trains were halted, schools stayed closed, and residents of three towns were told to move to "
    "higher ground until the warning was lifted.",
    "Photosynthesis turns carbon dioxide and water into sugar and oxygen. It takes place in the chloroplasts of plant "
    "cells, where pigments absorb light; most of the energy ends up as heat, and only a few per cent are stored.",
    "Season 4 opens slowly. Two episodes pass before anyone leaves the island, and the dialogue, once so sharp, has "
    "been replaced by speeches. Then comes the storm, and for forty minutes the series is as good as it has ever "
    "been: no music, hardly a word, only faces and water. If the rest had half that courage, this would be the show "
    "of the year. As it is, I would tell newcomers to begin with the second season and stop there.",
    "The central bank left its main rate unchanged at 3.75 per cent on Thursday, as expected by most economists, but "
    "signalled that it might raise borrowing costs before the summer if wages keep growing faster than prices. The "
    "governor told reporters that the decision had not been unanimous. The currency gained half a cent against the "
    "dollar; government bonds fell, and the stock exchange closed almost where it had opened.",
    "def mean(values): return sum(values) / len(values)  # fails for an empty list, see ticket #4821",
    "Our hotel was two streets from the old harbour. Breakfast: excellent. Beds: too soft. Staff: friendly, above all "
    "Marta at the desk, who found us a doctor on a Sunday night.",
    "Patient reports chest pain on exertion for three weeks, no fever, no cough; takes 5 mg of bisoprolol daily.",
    "Vaccination of poultry against H5N1 begins in 12 provinces; farmers will be compensated at market prices, the "
    "ministry of agriculture says.",
    "What did Ada Lovelace write about the analytical engine, and in which year was it published?",
    "You won a FREE cruise!!! Click http://example.com/win?id=99 and enter your bank details within 24 hours.",
    "We marched because the river belongs to everyone, not to the mine.",
    "La réunion est reportée à lundi; please bring the signed contracts (both copies).",
)

LABELS = (
    "sport",
    "politics",
    "business",
    "science and technology",
    "positive",
    "negative",
    "card payment fee charged",
    "lost or stolen card",
    "health",
    "travel",
    "anger",
    "joy",
    "the customer wants a refund",
    "need for food or water",
    "a question about a place",
    "abbreviation",
    "crime",
    "weather and natural disasters",
    "music",
    "education",
    "spam",
    "change of PIN",
    "number",
    "fear",
)

TEMPLATES = ("This text is about {}.", "It is {}.", "{}", "The sentiment of this review is {}.")
