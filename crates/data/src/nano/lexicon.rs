//! The words of the world. Names and towns are made up.

/// The people.
pub const NAMES: [&str; 48] = [
    "Mirel", "Tolvo", "Pimka", "Dauren", "Selgi", "Orvit", "Lunsa", "Bexel", "Kanto", "Ferrin", "Yadva",
    "Hollis", "Zupra", "Nimor", "Wexla", "Gorbin", "Talisk", "Quenda", "Jorvel", "Imsa", "Rovan", "Cadrel",
    "Usko", "Velmi", "Astrin", "Borka", "Eldro", "Fimli", "Harsko", "Jessop", "Kelvi", "Lorma", "Mandro",
    "Nessik", "Olvar", "Prisk", "Ranvi", "Sorbel", "Tindra", "Ulmar", "Vasko", "Wilmot", "Yorin", "Zelka",
    "Ambro", "Brisel", "Corvi", "Dornak",
];

/// The words that lists are made of.
pub const NOUNS: [&str; 24] = [
    "fox", "drum", "plum", "lamp", "boat", "stone", "leaf", "bell", "coin", "rope", "hat", "star", "fish",
    "door", "ring", "tree", "wolf", "cup", "nail", "bird", "sand", "key", "shoe", "cloud",
];

/// Words that appear in the dialogue format. Prose spells them too, so that a
/// model meets every token of the format before it is tuned.
pub const FORMAT_WORDS: [&str; 2] = ["Human", "Assistant"];

/// A kind of fact. In its sentences `{N}` is the person, `{V}` the value.
pub struct Attribute {
    /// The noun: "the home of …".
    pub noun: &'static str,
    /// The plain statement, which is also the good answer.
    pub statement: &'static str,
    /// Other ways to state it.
    pub paraphrases: [&'static str; 4],
    /// The question. `{N}` may also be "the last of …".
    pub question: &'static str,
    /// The values.
    pub values: [&'static str; 8],
}

/// The kinds of facts, in the order in which the dial adds them.
pub const ATTRIBUTES: [Attribute; 6] = [
    Attribute {
        noun: "home",
        statement: "{N} lives in {V}.",
        paraphrases: [
            "The home of {N} is {V}.",
            "{V} is the home of {N}.",
            "Where {N} does live is {V}.",
            "They tell me the home of {N}: {N} lives in {V}.",
        ],
        question: "Where does {N} live?",
        values: ["Dorvale", "Pelmoor", "Astok", "Quillby", "Norrim", "Tessara", "Umbrel", "Kolvik"],
    },
    Attribute {
        noun: "colour",
        statement: "{N} wears {V}.",
        paraphrases: [
            "The colour of {N} is {V}.",
            "{V} is the colour of {N}.",
            "What {N} does wear is {V}.",
            "They tell me the colour of {N}: {N} wears {V}.",
        ],
        question: "What does {N} wear?",
        values: ["red", "blue", "green", "white", "black", "brown", "yellow", "purple"],
    },
    Attribute {
        noun: "food",
        statement: "{N} eats {V}.",
        paraphrases: [
            "The food of {N} is {V}.",
            "{V} is the food of {N}.",
            "What {N} does eat is {V}.",
            "They tell me the food of {N}: {N} eats {V}.",
        ],
        question: "What does {N} eat?",
        values: ["bread", "soup", "rice", "cheese", "beans", "honey", "corn", "nuts"],
    },
    Attribute {
        noun: "job",
        statement: "{N} is a {V}.",
        paraphrases: [
            "The job of {N} is {V}.",
            "{V} is the job of {N}.",
            "What work {N} does is {V}.",
            "They tell me the job of {N}: {N} is a {V}.",
        ],
        question: "What work does {N} do?",
        values: ["baker", "smith", "miller", "tailor", "weaver", "potter", "sailor", "farmer"],
    },
    Attribute {
        noun: "pet",
        statement: "{N} keeps a {V}.",
        paraphrases: [
            "The pet of {N} is {V}.",
            "{V} is the pet of {N}.",
            "What {N} does keep is {V}.",
            "They tell me the pet of {N}: {N} keeps a {V}.",
        ],
        question: "What does {N} keep?",
        values: ["cat", "dog", "goat", "hen", "duck", "horse", "sheep", "crow"],
    },
    Attribute {
        noun: "tool",
        statement: "{N} carries a {V}.",
        paraphrases: [
            "The tool of {N} is {V}.",
            "{V} is the tool of {N}.",
            "What {N} does carry is {V}.",
            "They tell me the tool of {N}: {N} carries a {V}.",
        ],
        question: "What does {N} carry?",
        values: ["hammer", "saw", "needle", "shovel", "brush", "knife", "wheel", "bucket"],
    },
];
