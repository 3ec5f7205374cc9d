//! Words that line names and topics are made of.

/// Adjectives of line names.
pub(super) const ADJECTIVES: [&str; 64] = [
    "amber", "ancient", "bitter", "brave", "brisk", "broad", "calm", "careful", "cheerful", "chilly",
    "clever", "coarse", "crimson", "curious", "damp", "dapper", "distant", "drowsy", "dusty", "eager",
    "early", "fancy", "fearless", "fluffy", "formal", "frosty", "gentle", "giddy", "golden", "grand",
    "hasty", "hollow", "humble", "icy", "idle", "jolly", "keen", "lively", "lonely", "lucky", "mellow",
    "misty", "modest", "narrow", "nimble", "noisy", "patient", "plain", "polite", "proud", "quiet", "rapid",
    "rusty", "shy", "silent", "sleepy", "smooth", "sturdy", "sunny", "tender", "tidy", "vivid", "wary",
    "witty",
];

/// Nouns of line names.
pub(super) const NOUNS: [&str; 96] = [
    "acorn", "anchor", "anvil", "apron", "badger", "banjo", "barley", "basket", "beacon", "beetle", "bottle",
    "bridge", "bucket", "cabin", "camel", "candle", "canyon", "carpet", "castle", "cedar", "cellar",
    "chapel", "cherry", "clover", "cobbler", "comet", "copper", "cradle", "crane", "curtain", "dagger",
    "daisy", "desert", "donkey", "engine", "falcon", "feather", "ferry", "fiddle", "forest", "fountain",
    "garden", "glacier", "goblet", "hammer", "harbour", "harvest", "helmet", "heron", "island", "ivory",
    "jacket", "juniper", "kettle", "kitten", "ladder", "lantern", "lemon", "lizard", "magnet", "maple",
    "marble", "meadow", "mirror", "mitten", "monkey", "mountain", "mustard", "needle", "nutmeg", "orchard",
    "otter", "oyster", "paddle", "parrot", "pebble", "pepper", "pigeon", "pillow", "planet", "pocket",
    "puzzle", "quarry", "rabbit", "ribbon", "river", "saddle", "sailor", "spider", "temple", "thimble",
    "tunnel", "turnip", "valley", "walnut", "window",
];

/// What is said of a topic's subject.
pub(super) const ASPECTS: [&str; 10] = [
    "The history of",
    "The future of",
    "The benefits of",
    "The dangers of",
    "The economics of",
    "The science behind",
    "The culture of",
    "The ethics of",
    "The everyday use of",
    "The rules of",
];

/// What topics are about, each with two words that belong to it.
pub(super) const SUBJECTS: [(&str, [&str; 2]); 24] = [
    ("bicycle touring", ["gears", "headwinds"]),
    ("bread baking", ["yeast", "flour"]),
    ("mountain rescue", ["ropes", "weather"]),
    ("clock making", ["springs", "pendulums"]),
    ("river trade", ["barges", "locks"]),
    ("night trains", ["sleepers", "timetables"]),
    ("bee keeping", ["hives", "queens"]),
    ("glass blowing", ["furnaces", "sand"]),
    ("choir singing", ["altos", "rehearsals"]),
    ("street markets", ["stalls", "haggling"]),
    ("deep-sea mapping", ["sonar", "trenches"]),
    ("paper folding", ["creases", "patterns"]),
    ("urban gardens", ["compost", "rooftops"]),
    ("desert solar plants", ["mirrors", "dust"]),
    ("sign languages", ["gestures", "grammar"]),
    ("chess openings", ["gambits", "pawns"]),
    ("tea growing", ["leaves", "terraces"]),
    ("lighthouse keeping", ["lamps", "fog"]),
    ("camel caravans", ["wells", "saddles"]),
    ("bridge building", ["arches", "cables"]),
    ("bird migration", ["flocks", "seasons"]),
    ("wool spinning", ["looms", "dyes"]),
    ("tidal power", ["turbines", "estuaries"]),
    ("puppet theatre", ["strings", "stages"]),
];
