use super::*;

#[track_caller]
fn check(cases: &[(&str, &str, &str)]) {
    for (name, verb, noun) in cases {
        let found = split(name).unwrap_or_else(|| panic!("no verb in `{name}`"));
        let got = (found.verb.as_str(), found.noun.as_deref().unwrap_or("-"));
        assert_eq!(got, (*verb, *noun), "{name}");
    }
}

#[test]
fn a_verb_in_front_of_its_object() {
    check(&[
        ("drink water", "drink", "water"),
        ("drinking water", "drink", "water"),
        ("wear jacket", "wear", "jacket"),
        ("put on the glasses", "put on", "glasses"),
        ("wear on glasses", "wear on", "glasses"),
        ("knock on door", "knock on", "door"),
        ("typing on a keyboard", "type on", "keyboard"),
        ("tear up paper", "tear up", "paper"),
        ("ball up paper", "ball up", "paper"),
        ("draw 'X'", "draw", "x"),
        ("move heavy objects", "move", "heavy objects"),
        ("touch back (backache)", "touch", "back"),
        ("cross arms", "cross", "arms"),
        ("raise right hand", "raise", "right hand"),
        ("pat on back of other person", "pat on", "back"),
        ("touch other person's pocket", "touch", "pocket"),
        ("grab other person’s stuff", "grab", "stuff"),
    ]);
}

#[test]
fn a_verb_alone() {
    check(&[
        ("reading", "read", "-"),
        ("walking apart", "walk apart", "-"),
        ("sit down", "sit down", "-"),
        ("hopping (one foot jumping)", "hop", "-"),
        ("swipe left", "swipe left", "-"),
        ("walk sideways left", "walk sideways left", "-"),
        ("Pickup", "pick up", "-"),
    ]);
}

#[test]
fn a_verb_behind_its_object_or_manner() {
    check(&[
        ("hand waving", "wave", "hand"),
        ("two hand wave", "wave", "two hands"),
        ("high arm wave", "wave high", "arm"),
        ("horizontal arm wave", "wave horizontally", "arm"),
        ("forward kick", "kick forward", "-"),
        ("side-boxing", "box sideways", "-"),
        ("tennis bat swing", "swing", "tennis bat"),
        ("right arm swipe to the left", "swipe to the left", "right arm"),
        ("right arm swipe to the right", "swipe to the right", "right arm"),
        ("arm circles", "circle", "arm"),
        ("cross toe touch", "touch", "cross toe"),
        ("handshaking", "shake", "hand"),
        ("left swipe", "swipe left", "-"),
    ]);
}

#[test]
fn directions_and_places_behind_the_object() {
    check(&[
        ("rotate both arms backward", "rotate backward", "both arms"),
        ("put the palms together", "put together", "palms"),
        ("tilt head side to side", "tilt side to side", "head"),
        ("wave arm horizontally", "wave horizontally", "arm"),
        ("put something into a bag", "put something into", "bag"),
        ("take something out of a bag", "take something out", "bag"),
        ("apply cream on hand back", "apply cream on", "hand back"),
        (
            "Draw circle (counter clockwise)",
            "draw counter clockwise",
            "circle",
        ),
        ("cross hands in front (say stop)", "cross", "hands"),
        ("show the way with one hand", "show", "way"),
        ("pick up with two hands", "pick up with", "two hands"),
    ]);
}

#[test]
fn several_verbs_and_alternatives() {
    check(&[
        ("pick up and throw", "pick up and throw", "-"),
        ("sit down and stand up", "sit down and stand up", "-"),
        ("open and close both arms", "open and close", "both arms"),
        ("walk and turn left", "walk and turn left", "-"),
        ("step forward and back", "step forward and back", "-"),
        ("Sit to stand", "sit to stand", "-"),
        ("punching/slapping other person", "punch", "someone"),
        ("put on a hat/cap", "put on", "hat"),
        ("make a phone call/answer phone", "make", "phone call"),
        ("nausea or vomiting condition", "vomit", "-"),
        ("sneeze/cough", "sneeze", "-"),
        ("use a fan (with hand or paper)/feeling warm", "use", "fan"),
        ("walking towards each other", "walk towards", "someone"),
    ]);
}

#[test]
fn names_without_a_verb() {
    check(&[
        ("thumb up", "make sign", "thumb up"),
        ("hands up (both hands)", "raise", "hands"),
        ("chest pain", "have", "chest pain"),
        ("headache", "have", "headache"),
        (
            "finger-guessing game (playing rock-paper-scissors)",
            "play",
            "finger guessing game",
        ),
    ]);
    for name in [
        "",
        "   ",
        "()",
        "/",
        "or",
        "tight lace",
        "yoga",
        "木",
        "the",
        "and",
        "of of of",
        "'",
        "((",
        "a/",
    ] {
        assert_eq!(split(name), None, "{name}");
    }
}

proptest::proptest! {
    #[test]
    fn no_name_makes_it_panic_or_gives_an_empty_word(name in "[a-z ()/'àand-]{0,40}") {
        if let Some(words) = split(&name) {
            proptest::prop_assert!(!words.verb.trim().is_empty());
            proptest::prop_assert!(words.noun.is_none_or(|noun| !noun.trim().is_empty()));
        }
    }

    #[test]
    fn words_in_any_order_are_taken(words in proptest::collection::vec(
        proptest::sample::select(vec!["and", "or", "/", "left", "back", "the", "hand", "kick", "waving", "of", "to the left", "(up)", "other", "person's", "side", "two", "cross"]), 0..8)) {
        split(&words.join(" "));
    }
}
