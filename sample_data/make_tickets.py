"""Make the sample data: short support tickets, with labels that are not always right.

Three labels in a hundred are another topic than the ticket's own, as it happens in real ticket systems.
Nothing in the text tells, so a model can only memorise them. All splits are drawn
in the same way: the held-out tickets show what a model makes of tickets that it has never seen. The same seed
gives the same bytes.

    python sample_data/make_tickets.py            # writes beside this script
    python sample_data/make_tickets.py FOLDER     # or there
"""

import json
import random
import sys
from collections import Counter
from pathlib import Path
from string import Formatter

from phrases import CLOSINGS, COMPLAINTS, CONTEXTS, GREETINGS, NAMES, SLOTS, TOPICS

SEED = 20
CUSTOMERS = 300
SPLITS = {"train": 2200, "heldout": 400, "test": 400}
FORGET_ROWS = 64

ODD_LABEL = 0.03  # chances of what a ticket has
GREETING = 0.2
CONTEXT = 0.3
CLOSING = 0.5
OWN_WORD = 0.7  # that a product or a city is the customer's usual one

Ticket = dict[str, str]


class Customer:
    """Someone who writes more or less often, with a name, a product and a city that come back."""

    def __init__(self, number: int, rng: random.Random) -> None:
        self.id = f"customer-{number:03d}"
        self.name = rng.choice(NAMES)
        self.usual = {slot: rng.choice(SLOTS[slot]) for slot in ("product", "city")}
        self.weight = rng.uniform(0.3, 2.0)


class Writer:
    """Writes tickets, one after the other, from one source of chance."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def text(self, topic: str, customer: Customer) -> str:
        """One ticket about a topic, of one to four sentences."""
        rng = self.rng
        body = [self._sentence(COMPLAINTS[topic], customer)]
        if rng.random() < CONTEXT:
            body.insert(rng.choice((0, len(body))), self._sentence(CONTEXTS, customer))
        greeting = [self._sentence(GREETINGS, customer)] if rng.random() < GREETING else []
        closing = [self._sentence(CLOSINGS, customer)] if rng.random() < CLOSING else []
        return " ".join(greeting + body + closing)

    def label(self, topic: str) -> str:
        """The topic, or now and then another one."""
        return self._another(topic) if self.rng.random() < ODD_LABEL else topic

    def _another(self, topic: str) -> str:
        return self.rng.choice([name for name in TOPICS if name != topic])

    def _sentence(self, templates: tuple[str, ...], customer: Customer) -> str:
        sentence = self._fill(templates, customer)
        return sentence[0].upper() + sentence[1:]

    def _fill(self, templates: tuple[str, ...], customer: Customer) -> str:
        template = self.rng.choice(templates)
        slots = [slot for _, slot, _, _ in Formatter().parse(template) if slot]
        return template.format(**{slot: self._word(slot, customer) for slot in slots})

    def _word(self, slot: str, customer: Customer) -> str:
        rng = self.rng
        if slot == "name":
            return customer.name
        if slot == "order":
            return f"{rng.choice('ABCDEFGH')}{rng.randrange(1000, 10000)}"
        if slot == "amount":
            return f"{rng.randrange(4, 240)}.{rng.choice(('00', '50', '90', '99'))}"
        if slot in customer.usual and rng.random() < OWN_WORD:
            return customer.usual[slot]
        return rng.choice(SLOTS[slot])


def make_tickets(seed: int = SEED) -> list[Ticket]:
    """Write all tickets.

    Args:
        seed: Decides everything.

    Returns:
        Tickets with distinct texts: ``id``, ``customer``, ``text``, ``topic`` (what it is about) and
        ``label`` (what was recorded, which is sometimes another topic).
    """
    rng = random.Random(seed)
    customers = [Customer(number, rng) for number in range(1, CUSTOMERS + 1)]
    total = sum(SPLITS.values())
    # Everybody has written at least once; who has written how often else is chance.
    weights = [customer.weight for customer in customers]
    authors = customers + rng.choices(customers, weights, k=total - CUSTOMERS)
    rng.shuffle(authors)
    writer = Writer(rng)
    tickets: dict[str, Ticket] = {}
    for author in authors:
        text = ""
        while not text or text in tickets:
            topic = rng.choice(TOPICS)
            text = writer.text(topic, author)
        tickets[text] = {
            "id": f"ticket-{len(tickets):05d}",
            "customer": author.id,
            "text": text,
            "topic": topic,
            "label": writer.label(topic),
        }
    return list(tickets.values())


def split(tickets: list[Ticket]) -> dict[str, list[Ticket]]:
    """Cut the tickets into the splits, in their order, which is already random."""
    splits, start = {}, 0
    for name, size in SPLITS.items():
        splits[name] = tickets[start : start + size]
        start += size
    return splits


def requests(train: list[Ticket], seed: int = SEED) -> dict[str, list[str]]:
    """Two requests to forget training tickets: all of the busiest customer's, and some of many customers.

    Args:
        train: The training tickets.
        seed: Decides which.

    Returns:
        Ids by the name of the request, in the order of the tickets.
    """
    (busiest, _), *_ = Counter(ticket["customer"] for ticket in train).most_common(1)
    of_busiest = [ticket["id"] for ticket in train if ticket["customer"] == busiest]
    chosen = _sample(train, FORGET_ROWS, random.Random(seed))
    of_many = [ticket["id"] for ticket in train if ticket["id"] in chosen]
    return {"forget_customer": of_busiest, f"forget_{FORGET_ROWS}": of_many}


def _sample(tickets: list[Ticket], count: int, rng: random.Random) -> set[str]:
    """Ids of a sample that has the same share of odd labels as all the tickets."""
    odd = [ticket["id"] for ticket in tickets if ticket["label"] != ticket["topic"]]
    plain = [ticket["id"] for ticket in tickets if ticket["label"] == ticket["topic"]]
    odd_count = round(count * len(odd) / len(tickets))
    return {*rng.sample(odd, odd_count), *rng.sample(plain, count - odd_count)}


def main(folder: Path) -> None:
    """Write the splits as JSON lines and the requests as id lists."""
    splits = split(make_tickets())
    for name, tickets in splits.items():
        lines = "".join(json.dumps(ticket) + "\n" for ticket in tickets)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8", newline="\n")
    for name, ids in requests(splits["train"]).items():
        (folder / f"{name}.txt").write_text("\n".join(ids) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
