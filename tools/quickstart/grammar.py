"""The text of the quick-start corpus: a small grammar of commands, everyday sentences and spelled codes."""

import hashlib
import random
from typing import Literal

Split = Literal["train", "distil", "valid", "test"]
Kind = Literal["sentence", "compound", "code"]

DIGITS, TEENS, TENS, ORDINALS, MONTHS = (
    words.split()
    for words in (
        "zero one two three four five six seven eight nine",
        "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen",
        "twenty thirty forty fifty sixty seventy eighty ninety",
        "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
        "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth thirtieth",
        "january february march april may june july august september october november december",
    )
)
LETTERS = "abcdefghijklmnopqrstuvwxyz"

SLOTS: dict[str, str] = {
    "room": "kitchen bedroom bathroom hallway garage office garden attic cellar nursery library workshop",
    "device": "lamp heater fan radio television oven kettle alarm speaker camera printer boiler",
    "many": "lights curtains windows doors shutters blinds heaters speakers cameras",
    "colour": "red green blue yellow orange purple white warm bright",
    "level": "low medium high",
    "name": (
        "anna peter maria david julia thomas laura martin susan robert emma george sarah michael linda "
        "henry alice daniel clara walter nora oliver"
    ),
    "relation": "mother father sister brother doctor teacher neighbour friend boss dentist",
    "place": (
        "london paris boston dublin chicago berlin madrid denver oxford toronto vienna sydney rome dallas "
        "geneva cairo lisbon glasgow"
    ),
    "spot": "station airport museum hospital bank market school hotel beach harbour theatre bakery",
    "vehicle": "train bus taxi flight ferry tram",
    "food": (
        "bread butter milk cheese coffee tea sugar rice pasta apples bananas tomatoes onions carrots "
        "potatoes chicken fish soup honey salt pepper flour lemons yoghurt chocolate"
    ),
    "unit": "bottles boxes bags packets jars tins",
    "weekday": "monday tuesday wednesday thursday friday saturday sunday",
    "when": "today tomorrow tonight",
    "part": "morning afternoon evening",
    "weather": "sunny cloudy rainy windy foggy stormy snowy dry cold hot",
    "sky": "rain snow sunshine thunder fog wind frost",
    "music": "jazz rock classical folk piano guitar violin dance",
    "task": "meeting lesson dinner concert party interview holiday appointment birthday wedding",
    "chore": "dishes laundry shopping ironing cooking cleaning",
    "thing": (
        "book letter parcel ticket jacket umbrella bicycle camera wallet newspaper picture mirror basket "
        "blanket candle hammer ladder bucket keys glasses shoes"
    ),
    "quality": "old new big small heavy light broken clean dirty empty full quiet beautiful cheap expensive",
    "animal": "dog cat horse bird rabbit cow sheep duck fox mouse",
    "verb": "found lost bought sold cleaned carried dropped opened painted repaired",
    "go": "walked drove travelled ran returned",
    "feeling": "happy tired hungry busy late ready angry surprised",
}
WORDS = {slot: words.split() for slot, words in SLOTS.items()}

SENTENCES = """
turn on the {device} in the {room}
turn off the {device} in the {room} please
please switch on the {room} {device}
open the {many} in the {room}
close all the {many} in the {room} and the {room}
make the {room} lights {colour}
set the {device} in the {room} to {level}
set the {room} to {number} degrees
set the temperature in the {room} to {number} degrees
is the {device} in the {room} still on
wake me up at {time} in the {part}
set an alarm for {time} {when}
set a timer for {number} minutes
start a timer of {number} seconds
remind me to buy {food} on {weekday} {part}
remind {name} about the {task} at {time}
remind me of the {task} on {weekday}
add {food} and {food} to the shopping list
add {number} {unit} of {food} to my list
buy {food} {food} and {food} at the market
we need {number} {unit} of {food} and some {food}
how much does the {food} cost
the {food} costs {number} dollars and {number} cents
what is the weather in {place} {when}
will there be {sky} in {place} on {weekday}
it will be {weather} and {weather} in {place} {when}
the {part} was {weather} with a little {sky}
do i need an umbrella {when} in {place}
call my {relation} at {time}
call {name} on {digits}
send a message to {name} and {name}
tell my {relation} that i am {feeling}
tell {name} i will be {feeling} at {time}
the number of {name} is {digits}
play some {music} music in the {room}
play the next song by {name}
turn the volume up to {number} percent
turn the volume of the {device} down
book a {vehicle} from {place} to {place} on {weekday}
the next {vehicle} to {place} leaves at {time}
when does the {vehicle} from {place} arrive
take me to the {spot} in {place}
how far is it to the {spot}
where is the nearest {spot}
the {spot} is closed on {weekday} {part}
show me the way from the {spot} to the {spot}
my {task} is on the {ordinal} of {month}
move the {task} to {weekday} at {time}
what is on my calendar for {month} {ordinal}
cancel the {task} with {name} on {weekday}
is the {task} before or after the {task}
{name} {verb} the {quality} {thing} in the {room}
my {relation} {verb} a {quality} {thing} and a {thing}
the {quality} {thing} is under the {quality} {thing}
the {quality} {animal} sleeps in the {room}
the {animal} and the {animal} {go} to the {spot}
{name} and {name} {go} from {place} to {place}
{name} is {feeling} and {name} is {feeling}
my {relation} {go} home because the {vehicle} was late
i have {number} {animal} pictures in the {room}
who {verb} my {thing} and my {quality} {thing}
where are my {thing} and the {thing}
{name} did the {chore} and the {chore} on {weekday}
there are {number} people at the {spot}
they {verb} {number} {quality} things at the {spot}
do not forget the {chore} on {weekday}
we had {food} and {food} for dinner
can you read the {thing} to my {relation}
""".strip().splitlines()

CODES = """
enter {digits}
enter {digits}
{digits}
{digits}
enter {number}
{letters} {number}
{letters} {number} {number}
{letters} {digits}
rubout {letters} {number}
erase {letters} {number}
repeat {letters}
spell {letters}
{letters}
{letters}
{month} {ordinal} {year}
{month} {ordinal}
{number} {number} {number}
area code {digits}
start {number} stop {number}
go to {letters} {number}
help with {letters}
yes {digits}
no {number}
""".strip().splitlines()


def small_number(rng: random.Random) -> str:
    """Return a number from one to ninety-nine in words."""
    form = rng.random()
    if form < 0.25:
        return rng.choice(DIGITS[1:])
    if form < 0.5:
        return rng.choice(TEENS)
    tens = rng.choice(TENS)
    return tens if form < 0.65 else f"{tens} {rng.choice(DIGITS[1:])}"


def number(rng: random.Random) -> str:
    """Return a number from one to nine thousand nine hundred in words."""
    form = rng.random()
    if form < 0.85:
        return small_number(rng)
    unit = "hundred" if form < 0.95 else "thousand"
    return f"{rng.choice(DIGITS[1:])} {unit}"


def time_of_day(rng: random.Random) -> str:
    """Return a time such as `half past nine` or `ten fifteen`."""
    hour = rng.choice(DIGITS[1:] + TEENS[:3])
    if rng.random() < 0.5:
        return f"{hour} {rng.choice(['fifteen', 'thirty', 'forty five', 'twenty', 'ten'])}"
    return f"{rng.choice(['half past', 'quarter past', 'quarter to', 'almost'])} {hour}"


def digits(rng: random.Random) -> str:
    """Return two to seven digits; zero is read `zero` or `oh`."""
    read = [rng.choice([*DIGITS, "oh"] if rng.random() < 0.3 else DIGITS[1:]) for _ in range(rng.randint(2, 7))]
    return " ".join(read)


def ordinal(rng: random.Random) -> str:
    """Return the ordinal of a day of a month."""
    if rng.random() < 0.3:
        return f"twenty {rng.choice(ORDINALS[:9])}"
    return rng.choice(ORDINALS)


def letters(rng: random.Random) -> str:
    """Return two to eight letters, a word of the grammar spelled out half of the time."""
    if rng.random() < 0.5:
        word = rng.choice(WORDS["name"] + WORDS["place"] + WORDS["thing"] + MONTHS)
        return " ".join(word[:8])
    return " ".join(rng.choices(LETTERS, k=rng.randint(2, 7)))


MAKERS = {
    "number": number,
    "time": time_of_day,
    "digits": digits,
    "ordinal": ordinal,
    "letters": letters,
    "month": lambda rng: rng.choice(MONTHS),
    "year": lambda rng: f"{rng.choice(['nineteen', 'twenty'])} {small_number(rng)}",
}


def expand(template: str, rng: random.Random) -> str:
    """Fill every `{slot}` of a template independently."""
    parts = []
    for token in template.split():
        slot = token.strip("{}")
        if token == slot:
            parts.append(token)
        else:
            parts.append(MAKERS[slot](rng) if slot in MAKERS else rng.choice(WORDS[slot]))
    return " ".join(parts)


def split_of(sentence: str) -> Split:
    """Assign a sentence to a split by its hash: the same sentence can never be in two splits."""
    bucket = hashlib.sha256(sentence.encode()).digest()[0] % 10
    return ("test", "valid", "distil")[bucket] if bucket < 3 else "train"


def sentence_of(kind: Kind, rng: random.Random) -> str:
    """Draw one sentence of a kind."""
    if kind == "compound":
        joint = rng.choice(["and", "and then", "but"])
        return f"{sentence_of('sentence', rng)} {joint} {sentence_of('sentence', rng)}"
    return expand(rng.choice(CODES if kind == "code" else SENTENCES), rng)


def sentences(split: Split, kind: Kind, count: int, seed: int) -> list[str]:
    """Draw distinct sentences of one split and one kind.

    Args:
        split: Which hash bucket the sentences belong to.
        kind: `sentence` for commands and statements, `compound` for two of them joined, `code` for letters,
            digits and dates.
        count: How many distinct sentences to draw.
        seed: Seed of the draw.

    Returns:
        `count` lower-case sentences of 2 to 14 words.
    """
    rng = random.Random(f"{split}-{kind}-{seed}")
    drawn: dict[str, None] = {}
    while len(drawn) < count:
        sentence = sentence_of(kind, rng)
        if 2 <= len(sentence.split()) <= 14 and split_of(sentence) == split:
            drawn[sentence] = None
    return list(drawn)
