"""What the sample tickets are made of. ``{slot}`` marks are filled by ``make_tickets``."""

COMPLAINTS: dict[str, tuple[str, ...]] = {
    "billing": (
        "I was charged {amount} euros twice for order {order}.",
        "Invoice {order} shows {amount} euros, but we agreed on less.",
        "the amount on my card statement does not match the invoice for {order}.",
        "you took {amount} euros from my account in {month} and I do not know what for.",
        "my discount code was not applied and I paid {amount} euros in full.",
        "please correct the tax number on invoice {order}.",
        "I still have not received the refund of {amount} euros that I was promised in {month}.",
        "the payment of {amount} euros was declined although there is money on the card.",
        "I need a receipt for {amount} euros for my accounting.",
        "why did the price of the {product} go up by {amount} euros after I had paid?",
        "the direct debit for order {order} failed and now you want a late fee.",
        "can I pay the {amount} euros for order {order} in three instalments?",
    ),
    "delivery": (
        "the parcel with my {product} has not arrived, it was due on {day}.",
        "the tracking page for {order} has shown the same depot since {day}.",
        "the courier left the {product} at a neighbour in {city} whom I do not know.",
        "order {order} went to my old address in {city}.",
        "I got the wrong parcel, there was a {other} in the box.",
        "nobody rang the bell on {day}, yet the note says that I was not at home.",
        "when will order {order} finally be shipped to {city}?",
        "the box was open and half of order {order} is missing.",
        "please send the {product} to a pick-up point in {city} instead.",
        "I waited at home all {day} and the driver never came.",
        "customs in {city} hold my parcel {order} and ask for papers.",
        "can you deliver the {product} before {day}? We are moving.",
    ),
    "account": (
        "I cannot log in, the password reset mail never comes.",
        "the app says that my account is locked since {day}.",
        "please change the e-mail address of my account, I have left the company in {city}.",
        "the code for the second factor goes to my old phone.",
        "my profile shows the name of somebody from {city}, is this a mix-up?",
        "I have two accounts by mistake and want to merge them.",
        "somebody signed in to my account from {city} on {day}, that was not me.",
        "how do I add a colleague as a second user?",
        "every time I sign in I am thrown back to the start page.",
        "the link to confirm my address has expired since {day}.",
        "my saved addresses disappeared after the update in {month}.",
        "the captcha on the sign-in page does not load in my browser.",
    ),
    "defect": (
        "the {product} stopped working after {count} days.",
        "the {product} gets very hot and smells burnt.",
        "the display of my {product} flickers whenever I plug it in.",
        "the handle of the {product} broke off at the first use.",
        "my {product} makes a grinding noise since {day}.",
        "the battery of the {product} lasts only {count} minutes.",
        "the {product} leaks water all over the kitchen.",
        "the {product} will not switch on, I tried {count} sockets.",
        "a button on the {product} is stuck and nothing helps.",
        "there is a crack in the housing of the {product}.",
        "the {product} shows error {count} and then turns itself off.",
        "is there a spare part for the {product}? The hinge is worn out.",
    ),
    "cancellation": (
        "I want to cancel order {order} before it leaves the warehouse.",
        "please end my subscription at the end of {month}.",
        "how do I send the {product} back? I have changed my mind.",
        "I cancelled on {day}, but nobody has confirmed it.",
        "I would like to withdraw from the contract for the {product}.",
        "the return label for order {order} cannot be printed.",
        "I no longer need the {product}, what does it cost to return it?",
        "stop the monthly box from {month} on, we have too many of them.",
        "I returned the {product} {count} days ago, did it get back to you?",
        "can I swap the {product} for a {other} instead of keeping it?",
        "I ordered two of the {product} by mistake and want one taken back.",
        "your terms say {count} days for a withdrawal, does that hold for sale items?",
    ),
}

TOPICS: tuple[str, ...] = tuple(sorted(COMPLAINTS))

GREETINGS: tuple[str, ...] = (
    "Hello!",
    "Hi there.",
    "Good morning!",
    "Hello support team.",
    "Hello again.",
    "Hi, {name} here.",
    "Good evening from {city}.",
    "Greetings from {city}!",
    "Hey!",
    "Good day, my name is {name}.",
)

CONTEXTS: tuple[str, ...] = (
    "I bought the {product} from you in {month}.",
    "I have been a customer since {month}.",
    "This is about order {order}.",
    "My last message from {day} is still without an answer.",
    "I called your hotline on {day} and waited for {count} minutes.",
    "We are a small shop in {city} and order from you often.",
    "It is the second time this happens.",
    "My neighbour in {city} had the same with a {other}.",
    "The {product} was a present for my sister.",
    "I already wrote about this in {month}.",
    "The chat on your page sent me here.",
    "I had been happy with the {other} that I got in {month}.",
    "Your colleague in {city} could not help me.",
    "I attach a photo from {day}.",
)

CLOSINGS: tuple[str, ...] = (
    "Thanks, {name}",
    "Best regards, {name}",
    "Please answer before {day}.",
    "What can you do?",
    "I look forward to hearing from you.",
    "Kind regards from {city}, {name}",
    "Please call me back, mornings are best.",
    "This is really annoying.",
    "Thank you for your help.",
    "{name}, {city}",
    "I expect an answer by {day}.",
    "Many thanks in advance!",
)

# fmt: off
SLOTS: dict[str, tuple[str, ...]] = {
    "product": (
        "kettle", "toaster", "desk lamp", "coffee grinder", "vacuum cleaner", "hair dryer", "blender",
        "radio", "alarm clock", "headset", "keyboard", "drill", "garden hose", "rice cooker",
        "air purifier", "fan heater", "bike light", "electric razor", "doorbell", "baby monitor",
        "printer", "router", "waffle iron", "iron", "thermostat", "dehumidifier", "juicer",
        "sewing machine", "projector", "egg boiler",
    ),
    "other": (
        "scarf", "tent", "frying pan", "backpack", "mirror", "bookshelf", "pillow", "chess set", "teapot",
        "rug",
    ),
    "city": (
        "Porto", "Ghent", "Leeds", "Turin", "Graz", "Malmo", "Lyon", "Bergen", "Cork", "Basel", "Gdansk",
        "Tartu", "Bilbao", "Aarhus", "Linz", "Utrecht", "Brno", "Tampere", "Rouen", "Ljubljana",
    ),
    "day": (
        "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
    ),
    "month": (
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
        "November", "December",
    ),
    "count": tuple(str(number) for number in range(2, 60)),
}

NAMES: tuple[str, ...] = (
    "Ana", "Bram", "Carla", "Dmitri", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kaja", "Liam",
    "Mira", "Nils", "Olga", "Pablo", "Quinn", "Rosa", "Sven", "Tess", "Umar", "Vera", "Wim", "Xenia",
    "Yusuf", "Zoe", "Aisha", "Bela", "Chloe", "Davit", "Emil", "Fleur", "Goran", "Hanna", "Ivo", "Jana",
    "Karim", "Lena", "Mateo", "Nora",
)
# fmt: on
